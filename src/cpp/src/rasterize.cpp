#include "chandra_bin/rasterize.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <variant>
#include <vector>

#include "shapes.hpp"

namespace chandra_bin {
namespace {

using namespace detail;
using Index = std::ptrdiff_t;

// Pixels [begin, end) along one axis.
struct Range {
    Index begin, end;

    Index size() const { return std::max<Index>(0, end - begin); }
    void keep(const Range& other) {
        begin = std::max(begin, other.begin);
        end = std::min(end, other.end);
    }
};

// Pixel centres along one axis, and the inverse.
class Centres {
public:
    explicit Centres(const Axis& axis)
        : first_(axis.first), step_(axis.step), inverse_(1 / axis.step), size_(static_cast<Index>(axis.size)) {}

    double operator[](Index i) const { return first_ + step_ * static_cast<double>(i); }
    bool rising() const { return step_ > 0; }
    Range all() const { return {0, size_}; }

    // The first pixel whose centre is at or past `value`, in the direction of the axis; the axis's size if there is
    // none.
    Index first_at_or_past(double value) const {
        const double guess = (value - first_) * inverse_;
        Index i = guess <= 0 ? 0 : guess >= static_cast<double>(size_) ? size_ : static_cast<Index>(guess);
        while (i > 0 && at_or_past(i - 1, value)) --i;
        while (i < size_ && !at_or_past(i, value)) ++i;
        return i;
    }

    // The pixels whose centres may lie from low to high; at most two too many at either end.
    Range between(double low, double high) const {
        const double a = (low - first_) * inverse_, b = (high - first_) * inverse_;
        return {static_cast<Index>(std::clamp(std::min(a, b) - 1, 0.0, static_cast<double>(size_))),
                static_cast<Index>(std::clamp(std::max(a, b) + 2, 0.0, static_cast<double>(size_)))};
    }

private:
    bool at_or_past(Index i, double value) const { return rising() ? (*this)[i] >= value : (*this)[i] <= value; }

    double first_, step_, inverse_;
    Index size_;
};

struct Window {
    Range x, y;

    void keep(const Window& other) {
        x.keep(other.x);
        y.keep(other.y);
    }
    bool empty() const { return x.size() == 0 || y.size() == 0; }
    std::size_t pixels() const { return static_cast<std::size_t>(x.size()) * static_cast<std::size_t>(y.size()); }
};

Window window_of(const Extent& extent, const Centres& x, const Centres& y) {
    return {extent.x_low == -kInfinity ? x.all() : x.between(extent.x_low, extent.x_high),
            extent.y_low == -kInfinity ? y.all() : y.between(extent.y_low, extent.y_high)};
}

// The even-odd rule along a row: a pixel is inside if an odd number of rings surrounds it.
class OddRule {
public:
    using Mark = std::uint8_t;  // 1: a centre on an edge; 2: inside and outside swap here

    static void cross(Mark& mark, bool /*rising*/) { mark = static_cast<Mark>(mark ^ 2); }
    void pass(Mark mark) { state_ = static_cast<Mark>(state_ ^ (mark & 2)); }
    bool inside() const { return state_ != 0; }

private:
    Mark state_ = 0;
};

// The winding rule along a row: a pixel is inside if the rings' total winding number is not 0.
class WindingRule {
public:
    using Mark = std::int32_t;  // 1: a centre on an edge; 2: change of the winding number here

    static void cross(Mark& mark, bool rising) { mark += rising ? 2 : -2; }
    void pass(Mark mark) { winding_ += mark >> 1; }
    bool inside() const { return winding_ != 0; }

private:
    std::int32_t winding_ = 0;
};

// Fills rings row by row: an edge that crosses a row of centres marks the first centre at or past the crossing, where
// the rule's state changes; centres on an edge are marked separately.
template <class Rule>
class PolygonFill {
    using Mark = typename Rule::Mark;
    static constexpr Mark kOnEdge = 1;

public:
    PolygonFill(const Centres& x, const Centres& y) : x_(x), y_(y) {}

    void begin(const Window& window) {
        window_ = window;
        width_ = static_cast<std::size_t>(window.x.size());
        if (marks_.size() < window.pixels()) marks_.resize(window.pixels(), 0);
    }

    void add_ring(std::span<const double> points) {
        if (points.empty()) return;
        const std::size_t n = points.size();
        double x0 = points[n - 2], y0 = points[n - 1];
        for (std::size_t i = 0; i < n; i += 2) {
            const double x1 = points[i], y1 = points[i + 1];
            if (y0 == y1) {
                add_horizontal(std::min(x0, x1), std::max(x0, x1), y0);
            } else if (y0 < y1) {
                add_slope(x0, y0, x1, y1, true);
            } else {
                add_slope(x1, y1, x0, y0, false);
            }
            x0 = x1;
            y0 = y1;
        }
    }

    // Calls inside(x begin, x end, y) for each run of pixels inside, and clears the rings.
    template <class Inside>
    void finish(const Inside& inside) {
        Mark* marks = marks_.data();
        for (Index y = window_.y.begin; y < window_.y.end; ++y, marks += width_) {
            Rule rule;
            for (std::size_t k = next_mark(marks, 0, width_); k < width_;) {
                rule.pass(marks[k]);
                const bool on_edge = (marks[k] & kOnEdge) != 0;
                marks[k] = 0;
                const std::size_t end = next_mark(marks, k + 1, width_);
                if (rule.inside() || on_edge) {
                    inside(window_.x.begin + static_cast<Index>(k),
                           window_.x.begin + static_cast<Index>(rule.inside() ? end : k + 1), y);
                }
                k = end;
            }
        }
    }

private:
    static std::size_t next_mark(const Mark* marks, std::size_t k, std::size_t end) {
        constexpr std::size_t step = sizeof(std::uint64_t) / sizeof(Mark);
        for (std::uint64_t some = 0; k + step <= end; k += step) {
            std::memcpy(&some, marks + k, sizeof some);
            if (some != 0) break;
        }
        while (k < end && marks[k] == 0) ++k;
        return k;
    }

    // The edge from (x0, y0) up to (x1, y1) belongs to the rows y0 <= y < y1, so that shared ends count once.
    void add_slope(double x0, double y0, double x1, double y1, bool rising) {
        const double dx = x1 - x0;
        Index column = dx == 0 ? x_.first_at_or_past(x0) : 0;
        Index row = std::max(y_.first_at_or_past(y_.rising() ? y0 : y1), window_.y.begin);
        for (; row < window_.y.end; ++row) {
            const double y = y_[row];
            if (y < y0 || y > y1) break;
            const double x = crossing(x0, y0, x1, y1, y);
            if (dx != 0) column = x_.first_at_or_past(x);
            if (column >= window_.x.end) continue;
            Mark* marks = row_of(row);
            if (y < y1) Rule::cross(marks[std::max<Index>(column - window_.x.begin, 0)], rising);
            if (column >= window_.x.begin && x_[column] == x) marks[column - window_.x.begin] |= kOnEdge;
        }
    }

    void add_horizontal(double x_low, double x_high, double y) {
        const Index row = y_.first_at_or_past(y);
        if (row < window_.y.begin || row >= window_.y.end || y_[row] != y) return;
        Index column = std::max(x_.first_at_or_past(x_.rising() ? x_low : x_high), window_.x.begin);
        for (; column < window_.x.end; ++column) {
            const double x = x_[column];
            if (x < x_low || x > x_high) break;
            row_of(row)[column - window_.x.begin] |= kOnEdge;
        }
    }

    Mark* row_of(Index row) { return marks_.data() + width_ * static_cast<std::size_t>(row - window_.y.begin); }

    Centres x_, y_;
    Window window_{};
    std::size_t width_ = 0;
    std::vector<Mark> marks_;  // all 0 between polygons
};

void check_axis(const Axis& axis) {
    const double last = axis.first + axis.step * static_cast<double>(std::max<std::size_t>(axis.size, 1) - 1);
    require(std::isfinite(axis.first) && std::isnormal(axis.step) && std::isfinite(last),
            "an axis needs a finite first and last value, and a step that is not 0, nor next to it");
}

class ComponentFill {
public:
    ComponentFill(const Centres& x, const Centres& y) : x_(x), y_(y), fill_(x, y) {}

    void begin(const Window& window) {
        window_ = window;
        inside_.assign(window.pixels(), 1);
    }

    // Keeps those remaining pixels that are inside the shape, or outside it.
    void intersect(ShapeKind kind, std::span<const double> p, bool complement) {
        const Window reach = reach_of(kind, p, complement);
        if (kind == ShapeKind::polygon) return keep_polygon(reach, complement, p);
        std::visit([&](const auto& shape) { keep_where(reach, complement, shape); }, plain_shape(kind, p));
    }

    void paint(std::uint8_t* mask) const {
        const std::uint8_t* inside = inside_.data();
        for (Index y = window_.y.begin; y < window_.y.end; ++y) {
            std::uint8_t* row = mask + static_cast<std::size_t>(y * x_.all().size());
            for (Index x = window_.x.begin; x < window_.x.end; ++x) row[x] |= *inside++;
        }
    }

private:
    // The window in which a shape matters: a complement keeps all pixels outside its shape's extent.
    Window reach_of(ShapeKind kind, std::span<const double> p, bool complement) const {
        Window reach = window_;
        if (complement) reach.keep(window_of(extent_of(kind, p), x_, y_));
        return reach;
    }

    std::uint8_t* row_of(Index y, Index x) {
        return inside_.data() + ((y - window_.y.begin) * window_.x.size() + (x - window_.x.begin));
    }

    template <class Shape>
    void keep_where(const Window& reach, bool complement, const Shape shape) {
        if (reach.empty()) return;
        for (Index j = reach.y.begin; j < reach.y.end; ++j) {
            const double y = y_[j];
            std::uint8_t* inside = row_of(j, reach.x.begin);
            for (Index i = reach.x.begin; i < reach.x.end; ++i, ++inside) {
                *inside &= static_cast<std::uint8_t>(shape.holds(x_[i], y) != complement);
            }
        }
    }

    void keep_polygon(const Window& reach, bool complement, std::span<const double> points) {
        if (reach.empty()) return;
        const Index width = reach.x.size();
        polygon_.assign(reach.pixels(), static_cast<std::uint8_t>(complement));
        fill_.begin(reach);
        fill_.add_ring(points);
        fill_.finish([&](Index begin, Index end, Index y) {
            std::uint8_t* row = polygon_.data() + (y - reach.y.begin) * width;
            std::fill(row + (begin - reach.x.begin), row + (end - reach.x.begin),
                      static_cast<std::uint8_t>(!complement));
        });
        const std::uint8_t* keep = polygon_.data();
        for (Index j = reach.y.begin; j < reach.y.end; ++j) {
            std::uint8_t* inside = row_of(j, reach.x.begin);
            for (Index i = 0; i < width; ++i) inside[i] &= *keep++;
        }
    }

    Centres x_, y_;
    PolygonFill<WindingRule> fill_;
    Window window_{};
    std::vector<std::uint8_t> inside_, polygon_;
};

}  // namespace

void rasterize_shapes(const Shapes& shapes, const Axis& x, const Axis& y, std::uint8_t* mask) {
    check_axis(x);
    check_axis(y);
    check_shapes(shapes);
    std::fill_n(mask, x.size * y.size, std::uint8_t{0});
    const Centres xs(x), ys(y);
    ComponentFill component(xs, ys);
    for (std::size_t c = 0; c + 1 < shapes.component_offsets.size(); ++c) {
        const auto first = static_cast<std::size_t>(shapes.component_offsets[c]),
                   last = static_cast<std::size_t>(shapes.component_offsets[c + 1]);
        if (first == last) continue;
        Window window = window_of(Extent{}, xs, ys);
        for (std::size_t s = first; s < last; ++s) {
            if (shapes.complements[s] == 0)
                window.keep(window_of(extent_of(ShapeKind(shapes.kinds[s]), params_of(shapes, s)), xs, ys));
        }
        if (window.empty()) continue;
        component.begin(window);
        for (std::size_t s = first; s < last; ++s) {
            component.intersect(ShapeKind(shapes.kinds[s]), params_of(shapes, s), shapes.complements[s] != 0);
        }
        component.paint(mask);
    }
}

void rasterize_polygons(std::span<const double> points, std::span<const std::int64_t> ring_offsets,
                        std::span<const std::int64_t> polygon_offsets, std::span<const std::int32_t> labels,
                        const Axis& x, const Axis& y, std::int32_t* image) {
    check_axis(x);
    check_axis(y);
    check_offsets(ring_offsets, points.size() / 2, "ring_offsets");
    check_offsets(polygon_offsets, ring_offsets.size() - 1, "polygon_offsets");
    require(labels.size() + 1 == polygon_offsets.size(), "labels and polygon_offsets differ in length");
    require(are_near(points), "points must be finite, and below 1e15");

    const Centres xs(x), ys(y);
    PolygonFill<OddRule> fill(xs, ys);
    for (std::size_t p = 0; p < labels.size(); ++p) {
        const auto rings =
            ring_offsets.subspan(static_cast<std::size_t>(polygon_offsets[p]),
                                 static_cast<std::size_t>(polygon_offsets[p + 1] - polygon_offsets[p]) + 1);
        const auto points_between = [&](std::int64_t a, std::int64_t b) {
            return points.subspan(static_cast<std::size_t>(2 * a), static_cast<std::size_t>(2 * (b - a)));
        };
        const Window window = window_of(extent_of(points_between(rings.front(), rings.back())), xs, ys);
        if (window.empty()) continue;
        fill.begin(window);
        for (std::size_t r = 0; r + 1 < rings.size(); ++r) fill.add_ring(points_between(rings[r], rings[r + 1]));
        fill.finish([&, label = labels[p]](Index begin, Index end, Index j) {
            std::int32_t* row = image + static_cast<std::size_t>(j) * x.size;
            std::fill(row + begin, row + end, label);
        });
    }
}

}  // namespace chandra_bin
