"""Region files in CIAO's grammar, and in that of DS9 as CIAO reads it."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import ToolError
from .files import read
from .sky import Plane

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_SHAPE = re.compile(r"([A-Za-z]+)\(([^()]*)\)")
_COUNTS = {"circle": (3,), "ellipse": (5,), "box": (4, 5), "rotbox": (5,), "annulus": (4,), "pie": (6,),
           "sector": (4,), "point": (2,), "rectangle": (4,), "field": (0,)}
_SEXAGESIMAL = re.compile(r"([-+]?)(\d+):(\d+):(\d+\.?\d*)$")


@dataclass(frozen=True)
class Shape:
    """A shape in physical pixels, with angles in degrees; ``inside`` False: all but it."""

    kind: str
    numbers: tuple[float, ...]
    inside: bool = True

    def contains(self, x: Floats, y: Floats) -> Flags:
        return _INSIDE[self.kind](self.numbers, x, y) == self.inside

    def box(self) -> tuple[float, float, float, float]:
        """Least and greatest x, and y."""
        n = self.numbers
        if not self.inside or self.kind in ("field", "sector"):
            return -math.inf, math.inf, -math.inf, math.inf
        if self.kind in ("polygon", "point", "rectangle"):
            return min(n[::2]), max(n[::2]), min(n[1::2]), max(n[1::2])
        if self.kind in ("circle", "annulus", "pie"):
            r = n[3] if self.kind != "circle" else n[2]
            return n[0] - r, n[0] + r, n[1] - r, n[1] + r
        cos, sin = math.cos(math.radians(n[4])), math.sin(math.radians(n[4]))
        if self.kind == "ellipse":
            dx, dy = math.hypot(n[2] * cos, n[3] * sin), math.hypot(n[2] * sin, n[3] * cos)
        else:
            dx, dy = (abs(n[2] * cos) + abs(n[3] * sin)) / 2, (abs(n[2] * sin) + abs(n[3] * cos)) / 2
        return n[0] - dx, n[0] + dx, n[1] - dy, n[1] + dy

    def said(self) -> str:
        """As a data subspace has it."""
        kind = {"rotbox": "RotBox"}.get(self.kind, self.kind.capitalize())
        return f"{'' if self.inside else '!'}{kind}({','.join(f'{each:g}' for each in self.numbers)})"


@dataclass(frozen=True)
class Region:
    """Components joined by OR, the shapes of each by AND."""

    components: tuple[tuple[Shape, ...], ...]

    def contains(self, x: Floats, y: Floats) -> Flags:
        found = np.zeros(np.shape(x), bool)
        for component in self.components:
            found |= np.logical_and.reduce([shape.contains(x, y) for shape in component])
        return found

    def box(self) -> tuple[float, float, float, float]:
        boxes = []
        for component in self.components:
            x0, x1, y0, y1 = zip(*(shape.box() for shape in component), strict=True)
            boxes.append((max(x0), min(x1), max(y0), min(y1)))
        x0, x1, y0, y1 = zip(*boxes, strict=True)
        return min(x0), max(x1), min(y0), max(y1)

    def said(self, *, exclude: bool) -> str:
        each = ["*".join(shape.said() for shape in component) for component in self.components]
        if not exclude:
            return "|".join(each)
        return "Field()&" + "&".join(f"!{text}" for text in each)


def region_of(text: str, plane: Plane | None) -> Region:
    """``region(file)``, or shapes."""
    match = re.fullmatch(r"region\((.*)\)", text.strip(), re.IGNORECASE)
    if match is None:
        return _parse(re.sub(r"\s", "", text), plane, text)
    path, _, block = match[1].strip().partition("[")
    if not Path(path).is_file():
        raise ToolError(f"DM Parse error: Unable to open region file {path}")
    head = Path(path).read_bytes()[:6]
    return _of_table(path, block.rstrip("]")) if head == b"SIMPLE" else _of_text(path, plane)


def _of_text(path: str, plane: Plane | None) -> Region:
    content = Path(path).read_bytes()
    if b"\r" in content:
        raise ToolError(f"DM Parse error: bad line ends in region file {path}")
    lines = content.decode("utf-8", "replace").split("\n")
    ciao = lines[0].startswith("# Region file format: CIAO")
    kept = []
    for line in lines:
        said = line.strip()
        if not said or said.startswith("#") or (not ciao and said.lower().startswith("global")):
            continue
        if said.lower() in ("physical", "image", "fk5", "icrs"):
            if ciao:
                raise ToolError(f"DM Parse error: {said!r} in region file {path}")
            continue
        shape, comment, about = said.partition("#")
        if comment and about.strip() and ciao:
            raise ToolError(f"DM Parse error: text after a shape in region file {path}: {said!r}")
        if re.search(r"\([^)]*\s[^)]*\)", shape) and ciao:
            raise ToolError(f"DM Parse error: blanks within a shape in region file {path}: {said!r}")
        shape = re.sub(r"\s", "", shape).rstrip(";")
        kept.append(shape if shape[0] in "+-|*&" else f"+{shape}")
    if not kept:
        raise ToolError(f"DM Parse error: region file {path} holds no shape")
    return _parse("".join(kept).removeprefix("+"), plane, path)


def _parse(text: str, plane: Plane | None, where: str) -> Region:
    components: list[list[Shape]] = []
    at, joint = 0, "+"
    while at < len(text):
        if at or text[0] in "+-|*&!":
            if text[at] in "+-|*&":
                joint, at = text[at], at + 1
            elif at:
                raise ToolError(f"DM Parse error: {text[at:at + 20]!r} in region {where}")
        inside = True
        if text[at:at + 1] == "!":
            inside, at = False, at + 1
        match = _SHAPE.match(text, at)
        if match is None or (joint in "-*&" and not components):
            raise ToolError(f"DM Parse error: {text[at:at + 20]!r} in region {where}")
        made = _shape(match[1].lower(), match[2], plane, where)
        shape = Shape(made.kind, made.numbers, inside != (joint == "-"))
        if joint in "+|":
            components.append([shape])
        else:
            components[-1].append(shape)
        at = match.end()
    return Region(tuple(map(tuple, components)))


def _shape(kind: str, inner: str, plane: Plane | None, where: str) -> Shape:
    words = [word for word in inner.split(",") if word]
    if kind != "polygon" and len(words) not in _COUNTS.get(kind, ()):
        raise ToolError(f"DM Parse error: {kind}({inner}) in region {where}")
    if kind == "polygon" and (len(words) < 6 or len(words) % 2):
        raise ToolError(f"DM Parse error: polygon of {len(words)} numbers in region {where}")
    places = len(words) if kind in ("polygon", "rectangle") else 2
    numbers: list[float] = []
    for n in range(0, min(places, len(words)), 2):
        numbers += _place(words[n], words[n + 1], plane, where)
    angles = {"box": 1, "ellipse": 1, "rotbox": 1, "pie": 2, "sector": 2}.get(kind, 0)
    if kind == "box" and len(words) == 4:
        words.append("0")
    for n, word in enumerate(words[places:]):
        numbers.append(float(word) if n >= len(words) - places - angles else _length(word, plane, where))
    return Shape("rotbox" if kind == "box" else kind, tuple(numbers))


def _place(x: str, y: str, plane: Plane | None, where: str) -> tuple[float, float]:
    try:
        if ":" in x or x.endswith("d"):
            if plane is None:
                raise ToolError(f"region {where} is in sky coordinates, which the file does not have")
            ra = degrees_of(x) * 15 if ":" in x else float(x[:-1])
            px, py = plane.from_sky(ra, degrees_of(y))
            return float(px), float(py)
        return float(x), float(y)
    except ValueError:
        raise ToolError(f"DM Parse error: ({x},{y}) in region {where}") from None


def degrees_of(text: str) -> float:
    """Of degrees, or of a sexagesimal number in its own unit."""
    match = _SEXAGESIMAL.match(text)
    if match is None:
        return float(text.removesuffix("d"))
    value = float(match[2]) + float(match[3]) / 60 + float(match[4]) / 3600
    return -value if match[1] == "-" else value


def _length(text: str, plane: Plane | None, where: str) -> float:
    degrees = {'"': 3600.0, "'": 60.0, "d": 1.0}.get(text[-1])
    try:
        if degrees is None:
            return float(text.rstrip("pi"))
        if plane is None:
            raise ToolError(f"region {where} is in sky coordinates, which the file does not have")
        return float(text[:-1]) / degrees / abs(plane.dy)
    except ValueError:
        raise ToolError(f"DM Parse error: {text!r} in region {where}") from None


def _of_table(path: str, block: str) -> Region:
    tables = [each for each in read(path) if each.is_table and each.field("shape")
              and (not block or each.name == block.upper())]
    if not tables or tables[0].data is None or not len(tables[0].data):
        raise ToolError(f"DM Parse error: {path} holds no region")
    found = tables[0]
    rows = found.data
    components: dict[int, list[Shape]] = {}
    component = found.column("component") if found.field("component") else np.arange(1, len(rows) + 1)
    for n in range(len(rows)):
        word = found.column("shape")[n]
        said = (word.decode() if isinstance(word, bytes) else str(word)).strip().lower()
        values: dict[str, Floats] = {name: np.atleast_1d(found.column(name)[n]).astype(float).ravel()
                                     if found.field(name) else np.zeros(0) for name in ("x", "y", "r", "rotang")}
        x, y, r, angle = (each[np.isfinite(each)].tolist() for each in values.values())
        kind = said.removeprefix("!")
        kind = "rotbox" if kind == "box" else kind
        if kind in ("polygon", "rectangle"):
            numbers = [each for pair in zip(x, y, strict=True) for each in pair]
        elif kind == "field":
            numbers = []
        else:
            sizes = {"circle": 1, "point": 0}.get(kind, 2)
            turns = {"ellipse": 1, "rotbox": 1, "pie": 2}.get(kind, 0)
            numbers = [x[0], y[0], *r[:sizes], *[*angle, 0.0, 0.0][:turns]]
        components.setdefault(int(component[n]), []).append(Shape(kind, tuple(numbers), not said.startswith("!")))
    return Region(tuple(map(tuple, components.values())))


def _turned(n: tuple[float, ...], x: Floats, y: Floats) -> tuple[Floats, Floats]:
    cos, sin = math.cos(math.radians(n[4])), math.sin(math.radians(n[4]))
    return (x - n[0]) * cos + (y - n[1]) * sin, (y - n[1]) * cos - (x - n[0]) * sin


def _in_ellipse(n: tuple[float, ...], x: Floats, y: Floats) -> Flags:
    along, across = _turned(n, x, y)
    return (along / n[2]) ** 2 + (across / n[3]) ** 2 <= 1


def _in_box(n: tuple[float, ...], x: Floats, y: Floats) -> Flags:
    along, across = _turned(n, x, y)
    return (np.abs(along) <= n[2] / 2) & (np.abs(across) <= n[3] / 2)


def _in_pie(n: tuple[float, ...], x: Floats, y: Floats) -> Flags:
    far = np.hypot(x - n[0], y - n[1])
    return (far >= n[2]) & (far <= n[3]) & _in_sector((n[0], n[1], n[4], n[5]), x, y)


def _in_sector(n: tuple[float, ...], x: Floats, y: Floats) -> Flags:
    angle = np.degrees(np.arctan2(y - n[1], x - n[0]))
    return (angle - n[2]) % 360 <= ((n[3] - n[2]) % 360 or 360)


def _in_polygon(n: tuple[float, ...], x: Floats, y: Floats) -> Flags:
    px, py = np.array(n[::2]), np.array(n[1::2])
    odd, edge = np.zeros(np.shape(x), bool), np.zeros(np.shape(x), bool)
    for x0, y0, x1, y1 in zip(px, py, np.roll(px, -1), np.roll(py, -1), strict=True):
        side = (x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)
        edge |= ((side == 0) & (x >= min(x0, x1)) & (x <= max(x0, x1)) & (y >= min(y0, y1)) & (y <= max(y0, y1)))
        odd ^= ((y0 <= y) != (y1 <= y)) & ((side > 0) == (y1 > y0))
    return odd | edge


_INSIDE = {
    "circle": lambda n, x, y: np.hypot(x - n[0], y - n[1]) <= n[2],
    "annulus": lambda n, x, y: (np.hypot(x - n[0], y - n[1]) >= n[2]) & (np.hypot(x - n[0], y - n[1]) <= n[3]),
    "ellipse": _in_ellipse, "rotbox": _in_box, "pie": _in_pie, "sector": _in_sector, "polygon": _in_polygon,
    "point": lambda n, x, y: (x == n[0]) & (y == n[1]),
    "rectangle": lambda n, x, y: (x >= min(n[::2])) & (x <= max(n[::2])) & (y >= min(n[1::2])) & (y <= max(n[1::2])),
    "field": lambda _n, x, _y: np.ones(np.shape(x), bool)}
