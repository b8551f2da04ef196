"""Region files for various readers, with the same pixels inside."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from chandra_bin._checks.array_types import Floats
from chandra_bin.binning.outlines import Polygons
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError

from ._convert import bounds, convert_region, points_from_array
from ._format import CIAO_HEAD, DS9_HEAD, Style, ciao_bin, ciao_line, ring_texts
from ._shapes import IMAGE, PHYSICAL, WCS, Component, Format, Region, Shape, bin_tag
from ._split import join_holes, split_component
from ._table import write_table

# DS9 colours that are distinct on its usual colour maps.
_COLOURS = ("green", "cyan", "magenta", "yellow", "red", "orange", "dodgerblue", "white")


def region_bytes(region: Region, coords: ImageCoords, *, format: Format, system: str = PHYSICAL,
                 sexagesimal: bool = False) -> bytes:
    """Return the content of a region file with the pixels of ``region``, in ``system``.

    CIAO files and FITS tables express excluded shapes as ``A*!C`` and ``B*!C``; polygons too long for a line of CIAO
    are split into pieces that share a cut. DS9 files express a polygon with holes as one ring with cuts of zero width.
    All formats keep bin numbers (`Region.bins`). Raises `InputError` with the line if a format cannot express the
    region.
    """
    if not any(True for _ in region.areas):
        raise InputError(f"{region.source}: holds no shape that covers pixels, and tools cannot read such a file")
    if format == "fits":
        return _fits_bytes(region, coords, system)
    style = Style(format, system, sexagesimal)
    pixels = convert_region(region, coords, IMAGE)
    if format == "ciao":
        components = [small for component in _without_cuts(pixels)
                      for small in split_component(component, style.most_vertices)]
        made = convert_region(Region(tuple(components), source=region.source), coords, system, "ciao")
        return (CIAO_HEAD + "".join(_ciao_lines(made.components, style))).encode()
    components, cuts = _as_ds9(pixels)
    made = convert_region(Region(tuple(components), tuple(cuts), source=region.source), coords, system, "ds9")
    lines = [style.shape(component[0]) + _properties(component[0]) for component in made.components]
    lines += ["-" + style.shape(shape) + _properties(shape) for shape in made.cuts]
    return (_ds9_head(style, coords, region.settings) + "\n".join([*lines, ""])).encode()


@dataclass(frozen=True)
class BinTexts:
    """The outlines of bins, ready to be written in one system."""

    polygons: Polygons
    coords: ImageCoords
    style: Style

    @classmethod
    def for_ds9(cls, polygons: Polygons, coords: ImageCoords) -> "BinTexts":
        """Return the outlines for DS9 and astropy's ``regions``: in ICRS, or in pixels if the image has no sky."""
        return cls(polygons, coords, Style("ds9", IMAGE if coords.sky is None else "icrs"))

    def of_bins(self) -> Iterator[tuple[int, str]]:
        """Yield bin number and text of the region file of every bin."""
        texts = self._polygon_texts()
        head = CIAO_HEAD if self.style.format == "ciao" else _ds9_head(self.style, self.coords)
        labels = self.polygons.labels
        firsts = np.flatnonzero(np.diff(labels, prepend=-1)).tolist()
        for first, last in pairwise([*firsts, len(labels)]):
            yield int(labels[first]), head + "".join(texts[first:last])

    def all_in_one(self) -> str:
        """Return one file with all bins and their numbers.

        For DS9 the bin number is the text of a bin's first part and the tag of all its parts, and neighbours have
        different colours. For CIAO a comment with the number precedes the lines of a bin.
        """
        if self.style.format == "ciao":
            head = len(CIAO_HEAD)
            return CIAO_HEAD + "".join(ciao_bin(number) + text[head:] for number, text in self.of_bins())
        lines = [_ds9_head(self.style, self.coords)]
        before = -1
        for label, text in zip(self.polygons.labels.tolist(), self._polygon_texts(), strict=True):
            name = f" text={{{label}}}" if label != before else ""
            lines.append(f"{text.rstrip()} # color={_COLOURS[label % len(_COLOURS)]}{name} {bin_tag(label)}\n")
            before = label
        return "".join(lines)

    def _polygon_texts(self) -> list[str]:
        """Return the lines of each polygon."""
        polygons = self.polygons
        if self.style.format == "ds9":
            polygons = _without_holes(polygons)
        vertices = np.diff(polygons.ring_offsets[polygons.polygon_offsets])
        # Neighbours share most vertices, so each vertex is converted and formatted once.
        corners, which = np.unique(np.ascontiguousarray(polygons.points).view(complex).ravel(), return_inverse=True)
        converted = points_from_array(self.coords, corners.view(float).reshape(-1, 2), self.style.system)
        texts = np.array(self.style.points(converted), dtype=object)[which].tolist()
        rings = ring_texts(texts, polygons.ring_offsets.tolist())
        joined = ["*!".join(rings[a:b]) + "\n" for a, b in pairwise(polygons.polygon_offsets.tolist())]
        if self.style.format == "ciao":
            shapes = np.diff(polygons.polygon_offsets)
            for long in np.flatnonzero(vertices + shapes > self.style.most_vertices).tolist():
                joined[long] = self._in_pieces(polygons.rings(long))
        return joined

    def _in_pieces(self, rings: list[Floats]) -> str:
        """Return the lines of a polygon that is too long for one line."""
        component = component_of(rings)
        made = Region(tuple(split_component(component, self.style.most_vertices)))
        converted = convert_region(made, self.coords, self.style.system, "ciao")
        return "".join(ciao_line(piece, self.style) for piece in converted.components)


def component_of(rings: list[Floats], properties: str = "") -> Component:
    """Return a polygon in array coordinates, outer ring and holes, as shapes in image coordinates."""
    return tuple(Shape("polygon", ring + 1, system=IMAGE, complement=number > 0, properties=properties)
                 for number, ring in enumerate(rings))


def region_of(polygons: Polygons, label: int | None = None) -> Region:
    """Return the polygons of one bin, or of all bins with their numbers, as a region in image coordinates."""
    if label is None:
        return Region(tuple(component_of(polygons.rings(p), bin_tag(number))
                            for p, number in enumerate(polygons.labels.tolist())))
    return Region(tuple(component_of(polygons.rings(p)) for p in np.flatnonzero(polygons.labels == label).tolist()))


def _ciao_lines(components: tuple[Component, ...], style: Style) -> Iterator[str]:
    """Yield the lines of a CIAO file; shapes without a bin come first, as a bin comment applies to later shapes."""
    before = None
    for component in sorted(components, key=lambda component: component[0].bin is not None):
        number = component[0].bin
        if number is not None and number != before:
            yield ciao_bin(number)
        before = number
        yield ciao_line(component, style)


def _without_cuts(region: Region) -> list[Component]:
    """Return components with the cuts that reach them written into each: ``A*!C``, ``B*!C``."""
    if not region.cuts:
        return list(region.components)
    reaches = [(cut, bounds([cut])) for cut in region.cuts]
    components = []
    for component in region.components:
        own = bounds(component)
        hit = [
            cut.complemented() for cut, reach in reaches
            if own is None or reach is None or (np.all(own[0] <= reach[1] + 1) and np.all(reach[0] <= own[1] + 1))
        ]
        components.append((*component, *hit))
    return components


def _as_ds9(region: Region) -> tuple[list[Component], list[Shape]]:
    """Return components of one shape each, and the shapes excluded from all of them."""
    components: list[Component] = []
    cuts = list(region.cuts)
    for component in region.components:
        included = [shape for shape in component if not shape.complement]
        holes = [shape for shape in component if shape.complement]
        if len(included) > 1:
            raise InputError(f"{region.source}: line {included[1].line}: DS9 has no AND of shapes: use --format ciao")
        if not included or included[0].kind == "field":
            if len(region.components) > 1:
                raise InputError(f"{region.source}: line {component[0].line}: DS9 cannot join the field, or the "
                                 "outside of a shape, with other shapes: use --format ciao")
            cuts += [hole.complemented() for hole in holes]
            continue
        joined = None
        if holes and all(shape.kind == "polygon" for shape in component):
            joined = join_holes(included[0].points, [hole.points for hole in holes])
        if joined is None:
            components.append((included[0],))
            cuts += [hole.complemented() for hole in holes]
        else:
            components.append((replace(included[0], points=joined),))
    if not components and not cuts:
        raise InputError(f"{region.source}: DS9 has no shape for the whole field: use --format ciao")
    return components, cuts


def _without_holes(polygons: Polygons) -> Polygons:
    """Return polygons with the same pixels and one ring each."""
    holed = np.flatnonzero(np.diff(polygons.polygon_offsets) > 1).tolist()
    rings = [polygons.points[a:b] for a, b in pairwise(polygons.ring_offsets.tolist())]
    outer = [rings[r] for r in polygons.polygon_offsets[:-1].tolist()]
    for p in holed:
        joined = join_holes(outer[p], polygons.rings(p)[1:])
        if joined is None:
            raise InputError(f"a hole of bin {polygons.labels[p]} is outside the bin")
        outer[p] = joined
    offsets = np.concatenate([[0], np.cumsum([len(ring) for ring in outer], dtype=np.int64)])
    points = np.concatenate(outer) if outer else np.empty((0, 2))
    return Polygons(points, offsets, np.arange(len(outer) + 1), polygons.labels)


def _fits_bytes(region: Region, coords: ImageCoords, system: str) -> bytes:
    """Return the content of a FITS region table."""
    if system != PHYSICAL:
        raise InputError("FITS region tables contain physical coordinates: use --system physical")
    pixels = convert_region(region, coords, IMAGE)
    whole = replace(pixels, components=tuple(_without_cuts(pixels)), cuts=(), other=None)
    made = convert_region(whole, coords, PHYSICAL)
    file = io.BytesIO()
    write_table(file, made.components, coords)
    return file.getvalue()


def _ds9_head(style: Style, coords: ImageCoords, settings: str = "") -> str:
    # DS9 reads "wcs" as FK5, whatever the image's own frame.
    """Return the first lines of a DS9 file."""
    system = _ds9_name_of_frame(coords) if style.system == WCS else style.system
    head = DS9_HEAD if not settings else DS9_HEAD.split("\n", maxsplit=1)[0] + f"\n{settings}\n"
    return f"{head}{system}\n"


def _ds9_name_of_frame(coords: ImageCoords) -> str:
    """Return DS9's name of the image's own frame. Raises `InputError` if it has none, e.g. for another equinox."""
    if coords.frame.name == "galactic":
        return "galactic"
    if coords.equatorial != coords.frame.name:
        raise InputError(f"DS9's region files have no name for the image's own frame ({coords.frame}): use --system "
                         "icrs")
    return coords.equatorial


def _properties(shape: Shape) -> str:
    """Return the properties of a shape as a comment."""
    return f" # {shape.properties}" if shape.properties else ""
