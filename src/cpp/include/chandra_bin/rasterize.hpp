// Which pixels lie in shapes: masks from regions, label images from polygons.
//
// A pixel belongs to a shape where its centre does. The edge rule is CIAO's: a centre exactly on an edge is inside
// (of every shape that has this edge), and the complement of a shape leaves its edge out. Polygons close by
// themselves. Everything is computed in double precision in the coordinates of the shapes, so that "exactly" means: as computed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace chandra_bin {

// The centres of the pixels of an image along one axis: first, first + step, ...; all finite; step is normal (not 0, nor denormal).
struct Axis {
    double first;
    double step;
    std::size_t size;
};

// Params of each kind, all below 1e15 in size; lengths >= 0, angles in degrees counter-clockwise from +x.
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

// A region: components joined by OR, each of shapes (or their complements) joined by AND.
struct Shapes {
    std::span<const std::uint8_t> kinds;              // ShapeKind
    std::span<const std::uint8_t> complements;        // 1: everything outside the shape
    std::span<const double> params;                   // of all shapes, one after the other
    std::span<const std::int64_t> param_offsets;      // shape s has params param_offsets[s] .. [s + 1] - 1
    std::span<const std::int64_t> component_offsets;  // component c has shapes component_offsets[c] .. [c + 1] - 1
};

// Sets mask (y.size rows of x.size) to 1 where the region is, and to 0 elsewhere.
// Cost: per component, with B the pixels in the common bounding box of its shapes that are not complements (all pixels
// where there is none): O(B x (1 + such shapes) + for each complement the pixels of B in its shape's own bounding box
// + for polygons the rows that each edge spans). Sectors and fields have no bounding box. Throws std::invalid_argument for a kind, a number of params, or a value that
// the table above does not allow, and for offsets that do not fit.
void rasterize_shapes(const Shapes& shapes, const Axis& x, const Axis& y, std::uint8_t* mask);

// Writes labels[p] where polygon p is (see polygon_trace.hpp for the layout), in order, later ones over earlier
// ones; other pixels of `image` keep their values. Inside is where an odd number of its
// rings is, so that a ring in a ring is a hole, however it runs.
// Cost: O(pixels in the bounding boxes of the polygons + rows that each edge spans).
// Throws std::invalid_argument for offsets that do not fit, and points that are not below 1e15 in size.
void rasterize_polygons(std::span<const double> points, std::span<const std::int64_t> ring_offsets,
                        std::span<const std::int64_t> polygon_offsets, std::span<const std::int32_t> labels,
                        const Axis& x, const Axis& y, std::int32_t* image);

}  // namespace chandra_bin
