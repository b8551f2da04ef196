"""What CIAO's tools print: errors, whatever their exit code, warnings, and what a user should know."""

import re
from collections.abc import Iterable, Iterator

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


def error_in(line: str) -> str | None:
    """What a line says that went wrong."""
    said = _SAID.search(line)
    if said:
        return said[2].strip() or line.strip() if said[1] == "ERROR" else None
    if _BROKEN.search(line) and not _KEYWORDS.search(line):
        return line.strip()
    return None


def warnings_in(lines: Iterable[str]) -> list[str]:
    """The warnings that are not about keywords, each once."""
    said = (_SAID.search(line) for line in lines)
    return list(dict.fromkeys(each[2].strip() for each in said
                              if each and each[1] == "WARNING" and not _KEYWORDS.search(each[2])))


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
    """Of merge_obs and reproject_obs: observations that they leave out, which they do without an error."""
    return list(dict.fromkeys(line.strip().lstrip("# ") for line in output.splitlines()
                              if _SKIPPED.search(line) and not _KEYWORDS.search(line)))
