// The pixels inside shapes: masks from regions, binmaps from polygons.
//
// A pixel belongs to a shape if its centre does. The edge rule is CIAO's: a centre exactly on an edge is inside (of
// every shape with this edge), and the complement of a shape excludes its edge. Polygons are closed automatically.
// Everything is computed in double precision in the coordinates of the shapes, so "exactly" means as computed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace chandra_bin {

// The pixel centres of an image along one axis: first, first + step, ...; all finite. The step is a normal number
// (neither 0 nor denormal).
struct Axis {
    double first;
    double step;
    std::size_t size;
};

// Parameters of each kind, with absolute values below 1e15; lengths >= 0; angles in degrees counter-clockwise from +x.
enum class ShapeKind : std::uint8_t {
    circle,   // x, y, radius
    ellipse,  // x, y, radius along the angle, radius across it, angle; a radius of 0: nothing
    box,      // x, y, width along the angle, height across it, angle
    annulus,  // x, y, inner radius <= outer radius; both circles belong to it
    pie,      // x, y, inner radius <= outer radius, first angle, last angle (counter-clockwise; equal modulo 360: all)
    sector,   // x, y, first angle, last angle; the point itself counts as in direction 0, as in CIAO
    rectangle,  // x low, y low, x high, y high
    point,      // x, y: holds a centre only where it is exactly there
    polygon,    // x, y, x, y, ...: at least 3 vertices; where it crosses itself, all that it winds around (as CIAO)
    field,      // none: everywhere
};
inline constexpr std::size_t kShapeKinds = 10;

// A region: components joined by OR, each consisting of shapes (or their complements) joined by AND.
struct Shapes {
    std::span<const std::uint8_t> kinds;              // ShapeKind
    std::span<const std::uint8_t> complements;        // 1: everything outside the shape
    std::span<const double> params;                   // of all shapes in order
    std::span<const std::int64_t> param_offsets;      // shape s has params param_offsets[s] .. [s + 1] - 1
    std::span<const std::int64_t> component_offsets;  // component c has shapes component_offsets[c] .. [c + 1] - 1
};

// Sets mask (y.size rows of x.size) to 1 inside the region, and to 0 elsewhere. Cost per component, where B is the
// pixels in the common bounding box of its shapes other than complements (all pixels if there are only complements):
// O(B x (1 + such shapes) + for each complement the pixels of B in its shape's own bounding box + for polygons the rows
// that each edge spans). Sectors and fields have no bounding box. Throws std::invalid_argument for a kind, number of
// parameters or value that the table above does not allow, and for inconsistent offsets.
void rasterize_shapes(const Shapes& shapes, const Axis& x, const Axis& y, std::uint8_t* mask);

// Writes labels[p] to the pixels of polygon p (see polygon_trace.hpp for the layout), in order, later polygons over
// earlier ones; other pixels of `image` keep their values. A pixel is inside if it is in an odd number of the polygon's
// rings, so a ring in a ring is a hole, whatever its orientation. Cost: O(pixels in the bounding boxes of the polygons
// + rows that each edge spans). Throws std::invalid_argument for inconsistent offsets, and for points with absolute
// values of 1e15 or more.
void rasterize_polygons(std::span<const double> points, std::span<const std::int64_t> ring_offsets,
                        std::span<const std::int64_t> polygon_offsets, std::span<const std::int32_t> labels,
                        const Axis& x, const Axis& y, std::int32_t* image);

}  // namespace chandra_bin
