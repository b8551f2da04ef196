"""The data subspace of CIAO's files: the keywords DSTYPn, DSVALn ... state which events the file could contain.

A subspace consists of components joined by OR, usually one per chip; each has conditions on columns, joined by AND.
Keywords of the first component have no number in front; those of the others do: 2DSVAL1, 3DSREF4.
"""

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astropy.io.fits import Header

_KEY = re.compile(r"(\d*)DS(TYP|VAL|FORM|UNIT|REF)(\d+)")
# FITS keywords have at most eight characters.
_LONGEST_KEY = 8

Range = tuple[float, float]


@dataclass(frozen=True)
class Condition:
    """The allowed values of one column, or of a pair such as sky(x,y)."""

    value: str
    """Ranges (``500:7000`` or ``0:0,2:2``), a region (``Circle(..)``), or TABLE for intervals in a table."""
    form: str = ""
    unit: str = ""
    reference: str = ""
    """For TABLE: the block of the table, ``:GTI7``."""


@dataclass(frozen=True)
class Component:
    """Conditions by column name, as spelled in the file."""

    conditions: Mapping[str, Condition] = field(default_factory=dict)

    def name_of(self, column: str) -> str:
        """Return the spelling of a column's name in this component."""
        return next((name for name in self.conditions if name.lower() == column.lower()), column)

    def condition(self, column: str) -> Condition | None:
        """Return the condition on a column, regardless of the case of its name."""
        return self.conditions.get(self.name_of(column))

    def chip(self) -> int | None:
        """Return the chip if the component is limited to exactly one, else None."""
        of_chip = self.condition("ccd_id")
        ranges = parse_ranges(of_chip.value) if of_chip else None
        if not ranges or len(ranges) != 1 or ranges[0][0] != ranges[0][1]:
            return None
        return int(ranges[0][0])

    def within(self, column: str, ranges: Sequence[Range], form: str, unit: str = "") -> "Component | None":
        """Return the component with a column limited to ranges; None if no value is left."""
        there = self.condition(column)
        old = parse_ranges(there.value) if there else [(-float("inf"), float("inf"))]
        if old is None:
            return self
        both = [(max(a, c), min(b, d)) for a, b in old for c, d in ranges if max(a, c) <= min(b, d)]
        if not both:
            return None
        kept = Condition(format_ranges(both, form), form, there.unit if there else unit)
        return replace(self, conditions={**self.conditions, self.name_of(column): kept})

    def without_tables(self, kept: Collection[str]) -> "Component":
        """Return the component without conditions in tables other than ``kept`` (names in upper case)."""
        return replace(self, conditions={
            name: each for name, each in self.conditions.items()
            if each.value != "TABLE" or each.reference.lstrip(":").upper() in kept})

    def with_condition(self, column: str, condition: Condition) -> "Component":
        """Return the component with one more condition: joined by AND to a region in keywords; a table is replaced."""
        there = self.condition(column)
        if there is not None and there.value != "TABLE":
            condition = replace(there, value=f"({there.value})&({condition.value})")
        return replace(self, conditions={**self.conditions, self.name_of(column): condition})


def parse_ranges(text: str) -> list[Range] | None:
    """Return ``500:7000`` or ``0:0,2:2`` as pairs; None if the text is not a list of ranges."""
    ranges = []
    for part in text.split(","):
        ends = part.split(":")
        try:
            low = float(ends[0] or "-inf")
            high = float(ends[-1] or "inf")
        except ValueError:
            return None
        if len(ends) > 2:
            return None
        ranges.append((low, high))
    return ranges


def format_ranges(ranges: Sequence[Range], form: str) -> str:
    """Return ranges in the form of DSVALn; for the forms I and J the whole numbers inside."""
    whole = form in ("I", "J")

    def number(value: float, rounded: Callable[[float], int]) -> str:
        if math.isinf(value):
            return ""
        return str(rounded(value)) if whole else f"{value:.15g}"

    return ",".join(f"{number(low, math.ceil)}:{number(high, math.floor)}" for low, high in ranges)


def read_subspace(header: "Header") -> list[Component]:
    """Return the components of a header's subspace in order; empty if the header has none."""
    found: dict[int, dict[int, dict[str, str]]] = {}
    for card in header.cards:
        if match := _KEY.fullmatch(card.keyword):  # values are parsed when they are read, which is slow
            number, kind, axis = match.groups()
            found.setdefault(int(number or 1), {}).setdefault(int(axis), {})[kind] = str(card.value).strip()
    first = found.get(1, {})
    components = []
    for number in sorted(found):
        conditions = {}
        for axis, named in first.items():
            words = {**named, **found[number].get(axis, {})}  # values missing in a component are those of the first
            if "TYP" in words and "VAL" in words:
                conditions[words["TYP"]] = Condition(words["VAL"], words.get("FORM", ""), words.get("UNIT", ""),
                                                     words.get("REF", ""))
        components.append(Component(conditions))
    return components


def write_subspace(header: "Header", components: Sequence[Component]) -> None:
    """Replace a header's subspace by these components."""
    for key in [key for key in header if _KEY.fullmatch(key)]:
        header.remove(key, ignore_missing=True, remove_all=True)  # a key may be duplicated
    if not components:
        return
    columns = list(dict.fromkeys(name for component in components for name in component.conditions))
    for number, component in enumerate(components, start=1):
        prefix = "" if number == 1 else str(number)
        for axis, column in enumerate(columns, start=1):
            condition = component.conditions.get(column)
            keys = {f"{prefix}DSTYP{axis}": column if number == 1 else "",
                    f"{prefix}DSVAL{axis}": condition.value if condition else "",
                    f"{prefix}DSFORM{axis}": condition.form if condition and number == 1 else "",
                    f"{prefix}DSUNIT{axis}": condition.unit if condition and number == 1 else "",
                    f"{prefix}DSREF{axis}": condition.reference if condition else ""}
            for key, value in keys.items():
                if value and len(key) <= _LONGEST_KEY:
                    header[key] = value
