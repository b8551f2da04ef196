"""What CIAO's tools print: errors, whatever their exit code, warnings, and what a user should know."""

import re
from collections.abc import Iterable, Iterator, Sequence

# Scripts: "# tool (date): ERROR text"; programs: "# tool (CIAO 4.17): ERROR text". A warning has the same form.
_SAID = re.compile(r"#\s*\S+\s+\([^)]*\):\s*(ERROR|WARNING)[:\s]*(.*)")
_BROKEN = re.compile(r"DM Parse error|Failed to open|Segmentation|CALDB.*not (?:found|set)|No space left on device")
# Tools that merge headers speak of keywords that differ so; these are no errors.
_KEYWORDS = re.compile(r"\bomit\b|\.\.\.FAIL\.\.\.|^\s*warning:", re.IGNORECASE)
_NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_LIMITS = re.compile(rf"\(\w+\s*>\s*{_NUMBER}\s*&&\s*\w+\s*<\s*{_NUMBER}\)", re.ASCII)
_EXPOSURES = {"of the light curve": re.compile(r"Exposure time of lightcurve\s*=\s*([\d.]+) ks"),
              "kept": re.compile(r"Filtered exposure time\s*=\s*([\d.]+) ks")}
_SKIPPED = re.compile(r"\bskipp(?:ing|ed)\b", re.IGNORECASE)
# Contributed scripts print their warnings as plain lines on standard output, which indented lines may continue.
# "warning:" in small letters comes from the merging of keywords.
_PLAIN = re.compile(r"\s*(?:(?:WARNING|Warning)\b\s*[-:]*\s*(?P<text>.*)|(?P<whole>(?:Ignoring|Skipping|Skipped)\s.*))")
_LONGEST_SAID = 200


def error_in(line: str) -> str | None:
    """What a line says that went wrong."""
    said = _SAID.search(line)
    if said:
        return said[2].strip() or line.strip() if said[1] == "ERROR" else None
    if _BROKEN.search(line) and not _KEYWORDS.search(line):
        return line.strip()
    return None


def warnings_in(lines: Iterable[str]) -> list[str]:
    """The warnings that are not about keywords, each once, in the order in which they were printed.

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
    """The text of a line that is, or begins, a warning."""
    if said := _SAID.search(line):
        return str(said[2]).strip() if said[1] == "WARNING" else None
    if plain := _PLAIN.match(line):
        return str(plain["whole"] if plain["text"] is None else plain["text"]).strip()
    return None


def last_lines(lines: Sequence[str], error: str | None, count: int = 3) -> list[str]:
    """The last lines with text, without the one that holds ``error``: scripts print a reason there.

    The lines of a progress bar count as one, and long lines are shortened.
    """
    said = (line.rstrip().rpartition("\r")[2].strip() for line in lines)
    kept = [line for line in said if line and not (error and error in line) and not _KEYWORDS.search(line)]
    return [line if len(line) <= _LONGEST_SAID else f"{line[:_LONGEST_SAID]} ..." for line in kept[-count:]]


def flare_limits(output: str) -> list[str]:
    """Of deflare: between which rates it kept, and how much time is left."""
    return [*_limits(output), *_exposures(output)]


def _limits(output: str) -> Iterator[str]:
    if found := _LIMITS.search(output):
        yield f"rates between {float(found[1]):g} and {float(found[2]):g} counts/s are kept"


def _exposures(output: str) -> Iterator[str]:
    for name, form in _EXPOSURES.items():
        if found := form.search(output):
            yield f"exposure {name}: {found[1]} ks"


def left_out(output: str) -> list[str]:
    """Of merge_obs: observations that it leaves out, which it does without an error."""
    return list(dict.fromkeys(line.strip().lstrip("# ") for line in output.splitlines()
                              if _SKIPPED.search(line) and not _KEYWORDS.search(line)))
