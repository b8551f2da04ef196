"""Find errors, warnings and results in the output of CIAO's tools; tools may print errors and exit with code 0."""

import re
from collections.abc import Iterable, Iterator, Sequence

# Scripts: "# tool (date): ERROR text"; programs: "# tool (CIAO 4.17): ERROR text". A warning has the same form.
_MESSAGE = re.compile(r"#\s*\S+\s+\([^)]*\):\s*(ERROR|WARNING)[:\s]*(.*)")
_BROKEN = re.compile(r"DM Parse error|Failed to open|Segmentation|CALDB.*not (?:found|set)|No space left on device")
# Messages on different keywords of merged headers, which are not errors.
_KEYWORDS = re.compile(r"\bomit\b|\.\.\.FAIL\.\.\.|^\s*warning:", re.IGNORECASE)
_NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_LIMITS = re.compile(rf"\(\w+\s*>\s*{_NUMBER}\s*&&\s*\w+\s*<\s*{_NUMBER}\)", re.ASCII)
_EXPOSURES = {"of the light curve": re.compile(r"Exposure time of lightcurve\s*=\s*([\d.]+) ks"),
              "kept": re.compile(r"Filtered exposure time\s*=\s*([\d.]+) ks")}
_SKIPPED = re.compile(r"\bskipp(?:ing|ed)\b", re.IGNORECASE)
# Contributed scripts print their warnings as plain lines on standard output, which indented lines may continue.
# "warning:" in lower case comes from the merging of keywords.
_PLAIN = re.compile(r"\s*(?:(?:WARNING|Warning)\b\s*[-:]*\s*(?P<text>.*)|(?P<whole>(?:Ignoring|Skipping|Skipped)\s.*))")
_LONGEST_MESSAGE = 200


def error_in(line: str) -> str | None:
    """Return the error in a line, or None."""
    message = _MESSAGE.search(line)
    if message:
        return message[2].strip() or line.strip() if message[1] == "ERROR" else None
    if _BROKEN.search(line) and not _KEYWORDS.search(line):
        return line.strip()
    return None


def warnings_in(lines: Iterable[str]) -> list[str]:
    """Return the warnings that are not about keywords, each once, in the order of the output.

    Programs print ``# tool (version): WARNING text``. Scripts print ``WARNING - text``, ``WARNING: text``,
    ``Warning text``, ``Ignoring ...`` and ``Skipping ...``, with indented lines that continue the text.
    """
    found: list[str] = []
    is_open = False
    for line in lines:
        if is_open and line[:1].isspace() and line.strip() and not _PLAIN.match(line):
            found[-1] = f"{found[-1]} {line.strip()}".strip()
            continue
        text = _warning_of(line)
        is_open = text is not None
        if text is not None:
            found.append(text)
    return list(dict.fromkeys(text for text in found if text and not _KEYWORDS.search(text)))


def _warning_of(line: str) -> str | None:
    """Return the text of a line that is, or begins, a warning."""
    if message := _MESSAGE.search(line):
        return str(message[2]).strip() if message[1] == "WARNING" else None
    if plain := _PLAIN.match(line):
        return str(plain["whole"] if plain["text"] is None else plain["text"]).strip()
    return None


def last_lines(lines: Sequence[str], error: str | None, count: int = 3) -> list[str]:
    """Return the last lines with text, except the line with ``error``: scripts print a reason there.

    The lines of a progress bar count as one, and long lines are truncated.
    """
    texts = (line.rstrip().rpartition("\r")[2].strip() for line in lines)
    last = [line for line in texts if line and not (error and error in line) and not _KEYWORDS.search(line)]
    return [line if len(line) <= _LONGEST_MESSAGE else f"{line[:_LONGEST_MESSAGE]} ..." for line in last[-count:]]


def flare_limits(output: str) -> list[str]:
    """Return the rate limits of deflare and the remaining exposure."""
    return [*_limits(output), *_exposures(output)]


def _limits(output: str) -> Iterator[str]:
    """Yield the rate limits."""
    if found := _LIMITS.search(output):
        yield f"rates between {float(found[1]):g} and {float(found[2]):g} counts/s are kept"


def _exposures(output: str) -> Iterator[str]:
    """Yield the exposures before and after the cut."""
    for name, form in _EXPOSURES.items():
        if found := form.search(output):
            yield f"exposure {name}: {found[1]} ks"


def left_out(output: str) -> list[str]:
    """Return the lines on observations that merge_obs skipped, which it does without an error."""
    return list(dict.fromkeys(line.strip().lstrip("# ") for line in output.splitlines()
                              if _SKIPPED.search(line) and not _KEYWORDS.search(line)))
