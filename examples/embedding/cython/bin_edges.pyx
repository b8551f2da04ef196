"""A Cython extension that calls the C++ kernels.

    pip install --no-build-isolation .    # where chandra-bin is installed
"""

from libc.stdint cimport int32_t

from chandra_bin.polygon_trace cimport Polygons, polygon_trace


def edge_lengths(const int32_t[:, ::1] binmap not None):
    """The length of the outline of each bin of ``binmap``, in pixels, holes included: ``{bin: length}``."""
    cdef Polygons outlines
    cdef size_t polygon, point, following, first, last, ring
    cdef double length
    if binmap.size == 0:
        return {}
    with nogil:
        outlines = polygon_trace(&binmap[0, 0], binmap.shape[0], binmap.shape[1])
    lengths = {}
    for polygon in range(outlines.labels.size()):
        length = 0
        for ring in range(outlines.polygon_offsets[polygon], outlines.polygon_offsets[polygon + 1]):
            first, last = outlines.ring_offsets[ring], outlines.ring_offsets[ring + 1]
            for point in range(first, last):
                following = point + 1 if point + 1 < last else first
                length += abs(outlines.points[2 * following] - outlines.points[2 * point])
                length += abs(outlines.points[2 * following + 1] - outlines.points[2 * point + 1])
        lengths[outlines.labels[polygon]] = lengths.get(outlines.labels[polygon], 0.0) + length
    return lengths
