// The pixels and extents of shapes: the geometry of rasterize and points_in_region. Private to src/cpp/src.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numbers>
#include <span>
#include <stdexcept>
#include <string>
#include <variant>

#include "chandra_bin/rasterize.hpp"

namespace chandra_bin::detail {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The limit of coordinates and lengths: below it, squares and differences are finite, and whole pixels are distinct.
inline constexpr double kFarthest = 1e15;

struct Extent {
    double x_low = -kInfinity, x_high = kInfinity, y_low = -kInfinity, y_high = kInfinity;
};

inline Extent extent_of(std::span<const double> points) {
    Extent extent{kInfinity, -kInfinity, kInfinity, -kInfinity};
    for (std::size_t i = 0; i < points.size(); i += 2) {
        extent.x_low = std::min(extent.x_low, points[i]);
        extent.x_high = std::max(extent.x_high, points[i]);
        extent.y_low = std::min(extent.y_low, points[i + 1]);
        extent.y_high = std::max(extent.y_high, points[i + 1]);
    }
    return extent;
}

struct Rotation {
    double cosine, sine;

    explicit Rotation(double degrees)
        : cosine(std::cos(degrees * std::numbers::pi / 180)), sine(std::sin(degrees * std::numbers::pi / 180)) {}
    double along(double x, double y) const { return x * cosine + y * sine; }
    double across(double x, double y) const { return y * cosine - x * sine; }
};

// Degrees in [0, 360).
inline double turned(double degrees) {
    const double rest = std::fmod(degrees, 360.0);
    return rest < 0 ? rest + 360 : rest;
}

// Directions from a first to a last angle, counter-clockwise, both included; all directions if both are equal.
struct Wedge {
    double first, last;

    Wedge(double first_degrees, double last_degrees) : first(turned(first_degrees)), last(turned(last_degrees)) {}
    bool holds(double x, double y) const {
        if (first == last) return true;
        const double angle = turned(std::atan2(y, x) * (180 / std::numbers::pi));
        return first <= last ? first <= angle && angle <= last : angle >= first || angle <= last;
    }
};

inline Extent around(double x, double y, double reach_x, double reach_y) {
    return {x - reach_x, x + reach_x, y - reach_y, y + reach_y};
}

inline Extent extent_of(ShapeKind kind, std::span<const double> p) {
    switch (kind) {
        case ShapeKind::circle: return around(p[0], p[1], p[2], p[2]);
        case ShapeKind::annulus:
        case ShapeKind::pie: return around(p[0], p[1], p[3], p[3]);
        case ShapeKind::ellipse: {
            const Rotation turn(p[4]);
            return around(p[0], p[1], std::hypot(p[2] * turn.cosine, p[3] * turn.sine),
                          std::hypot(p[2] * turn.sine, p[3] * turn.cosine));
        }
        case ShapeKind::box: {
            const Rotation turn(p[4]);
            return around(p[0], p[1], (p[2] * std::abs(turn.cosine) + p[3] * std::abs(turn.sine)) / 2,
                          (p[2] * std::abs(turn.sine) + p[3] * std::abs(turn.cosine)) / 2);
        }
        case ShapeKind::rectangle: return {p[0], p[2], p[1], p[3]};
        case ShapeKind::point: return {p[0], p[0], p[1], p[1]};
        case ShapeKind::polygon: return extent_of(p);
        case ShapeKind::sector:
        case ShapeKind::field: break;
    }
    return {};
}

struct ParamRule {
    const char* name;
    std::size_t count;
    std::size_t first_length, last_length;  // params [first, last) must be >= 0
};

inline constexpr std::array<ParamRule, kShapeKinds> kParamRules{{
    {"circle", 3, 2, 3},
    {"ellipse", 5, 2, 4},
    {"box", 5, 2, 4},
    {"annulus", 4, 2, 4},
    {"pie", 6, 2, 4},
    {"sector", 4, 0, 0},
    {"rectangle", 4, 0, 0},
    {"point", 2, 0, 0},
    {"polygon", 6, 0, 0},
    {"field", 0, 0, 0},
}};
static_assert(kParamRules.back().name != nullptr, "a kind of shape has no rule");

inline void require(bool condition, const std::string& message) {
    if (!condition) throw std::invalid_argument(message);
}

inline bool are_near(std::span<const double> values) {
    return std::all_of(values.begin(), values.end(), [](double v) { return std::abs(v) < kFarthest; });
}

inline std::span<const double> params_of(const Shapes& shapes, std::size_t s) {
    return shapes.params.subspan(static_cast<std::size_t>(shapes.param_offsets[s]),
                                 static_cast<std::size_t>(shapes.param_offsets[s + 1] - shapes.param_offsets[s]));
}

inline void check_shape(std::uint8_t kind, std::span<const double> params) {
    require(kind < kShapeKinds, "unknown kind of shape " + std::to_string(kind));
    const ParamRule& rule = kParamRules[kind];
    const std::string name = rule.name;
    if (ShapeKind(kind) == ShapeKind::polygon) {
        require(params.size() % 2 == 0 && params.size() >= rule.count,
                "a polygon needs x and y of at least 3 vertices, not " + std::to_string(params.size()) + " numbers");
    } else {
        require(params.size() == rule.count, "a " + name + " needs " + std::to_string(rule.count) + " numbers, not "
                                                 + std::to_string(params.size()));
    }
    require(std::all_of(params.begin(), params.end(), [](double v) { return std::isfinite(v); }),
            "a " + name + " has a number that is not finite");
    require(are_near(params), "a " + name + " has a number of 1e15 or more");
    const auto lengths = params.subspan(rule.first_length, rule.last_length - rule.first_length);
    require(std::all_of(lengths.begin(), lengths.end(), [](double v) { return v >= 0; }),
            "a " + name + " has a length below 0");
    if (ShapeKind(kind) == ShapeKind::annulus || ShapeKind(kind) == ShapeKind::pie) {
        require(params[2] <= params[3], "the inner radius of a " + name + " is above the outer one");
    }
}

inline void check_offsets(std::span<const std::int64_t> offsets, std::size_t end, const char* name) {
    require(!offsets.empty() && offsets.front() == 0 && offsets.back() == static_cast<std::int64_t>(end)
                && std::is_sorted(offsets.begin(), offsets.end()),
            std::string(name) + " must rise from 0 to " + std::to_string(end));
}

// Checks that offsets are consistent and that shapes follow the table of ShapeKind.
inline void check_shapes(const Shapes& shapes) {
    require(shapes.complements.size() == shapes.kinds.size() && shapes.param_offsets.size() == shapes.kinds.size() + 1,
            "kinds, complements and param_offsets differ in length");
    check_offsets(shapes.param_offsets, shapes.params.size(), "param_offsets");
    check_offsets(shapes.component_offsets, shapes.kinds.size(), "component_offsets");
    for (std::size_t s = 0; s < shapes.kinds.size(); ++s) check_shape(shapes.kinds[s], params_of(shapes, s));
}

inline double squared(double x, double y) { return x * x + y * y; }

struct Circle {
    double x, y, r2;

    bool holds(double px, double py) const { return squared(px - x, py - y) <= r2; }
};

struct Ellipse {
    double x, y, along, across;
    Rotation turn;

    bool holds(double px, double py) const {
        return squared(turn.along(px - x, py - y) / along, turn.across(px - x, py - y) / across) <= 1;
    }
};

struct Box {
    double x, y, half_along, half_across;
    Rotation turn;

    bool holds(double px, double py) const {
        return std::abs(turn.along(px - x, py - y)) <= half_along
               && std::abs(turn.across(px - x, py - y)) <= half_across;
    }
};

struct Annulus {
    double x, y, inner2, outer2;

    bool holds(double px, double py) const {
        const double r2 = squared(px - x, py - y);
        return inner2 <= r2 && r2 <= outer2;
    }
};

struct Pie {
    Annulus ring;
    Wedge wedge;

    bool holds(double px, double py) const {
        const bool centre = squared(px - ring.x, py - ring.y) == 0;
        return ring.holds(px, py) && (centre || wedge.holds(px - ring.x, py - ring.y));
    }
};

struct Sector {
    double x, y;
    Wedge wedge;

    bool holds(double px, double py) const { return wedge.holds(px - x, py - y); }
};

struct Rectangle {
    double x_low, y_low, x_high, y_high;

    bool holds(double px, double py) const { return x_low <= px && px <= x_high && y_low <= py && py <= y_high; }
};

struct Point {
    double x, y;

    bool holds(double px, double py) const { return px == x && py == y; }
};

struct Field {
    bool holds(double, double) const { return true; }
};

// All shapes except polygons.
using PlainShape = std::variant<Circle, Ellipse, Box, Annulus, Pie, Sector, Rectangle, Point, Field>;

inline PlainShape plain_shape(ShapeKind kind, std::span<const double> p) {
    switch (kind) {
        case ShapeKind::circle: return Circle{p[0], p[1], p[2] * p[2]};
        case ShapeKind::ellipse: return Ellipse{p[0], p[1], p[2], p[3], Rotation(p[4])};
        case ShapeKind::box: return Box{p[0], p[1], p[2] / 2, p[3] / 2, Rotation(p[4])};
        case ShapeKind::annulus: return Annulus{p[0], p[1], p[2] * p[2], p[3] * p[3]};
        case ShapeKind::pie: return Pie{{p[0], p[1], p[2] * p[2], p[3] * p[3]}, Wedge(p[4], p[5])};
        case ShapeKind::sector: return Sector{p[0], p[1], Wedge(p[2], p[3])};
        case ShapeKind::rectangle: return Rectangle{p[0], p[1], p[2], p[3]};
        case ShapeKind::point: return Point{p[0], p[1]};
        case ShapeKind::polygon:
        case ShapeKind::field: break;
    }
    return Field{};
}

// The x of the line from (x0, y0) up to (x1, y1) at height y, y0 <= y <= y1, y0 < y1.
inline double crossing(double x0, double y0, double x1, double y1, double y) {
    return y == y1 ? x1 : x0 + (y - y0) * (x1 - x0) / (y1 - y0);
}

}  // namespace chandra_bin::detail
