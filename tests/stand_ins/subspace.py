"""The data subspace in a header: DSTYPn, DSVALn, DSREFn, and those of further components with a digit before."""

import math
import re
from copy import deepcopy

from astropy.io import fits

from .virtual import Range

# A component: by lower-case column, its words TYP, VAL, FORM, UNIT, REF.
Component = dict[str, dict[str, str]]

_KEY = re.compile(r"(\d?)DS(TYP|VAL|FORM|UNIT|REF)(\d+)$")


def read_subspace(header: fits.Header) -> list[Component]:
    """The components, in order; what a later one leaves out is as in the first."""
    found: dict[int, dict[int, dict[str, str]]] = {}
    for key in header:
        if match := _KEY.match(key):
            number, word, axis = int(match[1] or 1), match[2], int(match[3])
            found.setdefault(number, {}).setdefault(axis, {})[word] = str(header[key]).strip()
    components = []
    for number in sorted(found):
        made: Component = {}
        for axis, words in sorted(found.get(1, {}).items()):
            whole = {**words, **found[number].get(axis, {})}
            made[whole.get("TYP", "").lower()] = whole
        components.append(made)
    return components


def write_subspace(header: fits.Header, components: list[Component]) -> None:
    """Takes the place of what the header has; components beyond the ninth cannot be said."""
    for key in [key for key in header if _KEY.match(key)]:
        header.remove(key, ignore_missing=True, remove_all=True)
    columns = list(dict.fromkeys(column for each in components for column in each))
    for number, component in enumerate(components[:9], start=1):
        for axis, column in enumerate(columns, start=1):
            words = component.get(column, {})
            for word in ("TYP", "VAL", "FORM", "UNIT", "REF"):
                if word in words and (number == 1 or word in ("VAL", "REF")):
                    header[f"{'' if number == 1 else number}DS{word}{axis}"] = words[word]


def limit(components: list[Component], column: str, ranges: tuple[Range, ...], *, whole: bool,
          unit: str) -> list[Component]:
    """The components with a column limited; those of which nothing is left go."""
    left = []
    for each in deepcopy(components) or [{}]:
        old = each.get(column, {})
        before = _ranges(old.get("VAL", ":"))
        if before is None:
            left.append(each)
            continue
        both = [(max(a, r.low), min(b, r.high)) for a, b in before for r in ranges if max(a, r.low) <= min(b, r.high)]
        if not both:
            continue
        text = ",".join(f"{_number(a, whole)}:{_number(b, whole)}" for a, b in both)
        each[column] = {"TYP": old.get("TYP", column), "FORM": old.get("FORM", "I" if whole else "E"),
                        **({"UNIT": unit} if unit else {}), "VAL": text}
        left.append(each)
    return left


def add_region(components: list[Component], text: str) -> list[Component]:
    """The components with a region of the sky that must hold too."""
    made = deepcopy(components) or [{}]
    for each in made:
        before = each.get("sky(x,y)", {}).get("VAL")
        each["sky(x,y)"] = {"TYP": "sky(x,y)", "VAL": text if before is None else f"({before})&({text})", "FORM": "D",
                            "UNIT": "pixel"}
    return made


def without_time(components: list[Component], chips: tuple[Range, ...]) -> list[Component]:
    """The components of an image that scripts make: without times, which may make those of all chips one.

    ``chips`` are the ranges of the filter on ccd_id: chips of one range, 0:3, are one range then.
    """
    numbers = chips_of(components)
    plain = [{column: words for column, words in each.items() if column != "time"} for each in components]
    others = [{column: words for column, words in each.items() if column != "ccd_id"} for each in plain]
    if not numbers or any(each != others[0] for each in others):
        return plain
    kept = [[n for n in numbers if each.low <= n <= each.high] for each in chips] or [[n] for n in numbers]
    text = ",".join(f"{each[0]}:{each[-1]}" for each in kept if each)
    return [{**plain[0], "ccd_id": {**plain[0]["ccd_id"], "VAL": text}}]


def starts_of_chips(components: list[Component]) -> list[int]:
    """The lowest chip of each range: a range counts as one chip for blanksky_image."""
    return [int(low) for each in components for low, _ in _ranges(each.get("ccd_id", {}).get("VAL", "")) or []
            if math.isfinite(low)]


def chips_of(components: list[Component]) -> list[int]:
    """The chips that a subspace holds; none where it does not say."""
    chips: set[int] = set()
    for each in components:
        for low, high in _ranges(each.get("ccd_id", {}).get("VAL", "0:-1")) or []:
            chips.update(range(int(low), int(high) + 1))
    return sorted(chips)


def energies_of(components: list[Component]) -> tuple[float, float] | None:
    """The one range of energies (eV) of all components."""
    said = {each["energy"]["VAL"] for each in components if "energy" in each}
    found = _ranges(said.pop()) if len(said) == 1 else None
    return found[0] if found and len(found) == 1 else None


def _ranges(text: str) -> list[tuple[float, float]] | None:
    found = []
    for part in text.split(","):
        low, _, high = part.partition(":")
        try:
            found.append((float(low or -math.inf), float((high or math.inf) if ":" in part else low)))
        except ValueError:
            return None
    return found


def _number(value: float, whole: bool) -> str:
    if math.isinf(value):
        return ""
    return str(int(value)) if whole else f"{value:.15g}"
