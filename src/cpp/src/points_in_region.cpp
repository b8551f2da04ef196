#include "chandra_bin/points_in_region.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "chandra_bin/parallel.hpp"
#include "shapes.hpp"

namespace chandra_bin {
namespace {

using namespace detail;

// How much of a cell a shape, or a component, covers; `some` if unknown.
enum class Cover : std::uint8_t { none, some, all };

Cover inverse(Cover cover) {
    return cover == Cover::none ? Cover::all : cover == Cover::all ? Cover::none : Cover::some;
}

// Results for whole cells hold for every event in them, whatever the rounding: lengths are compared with this margin,
// and cells are slightly enlarged.
constexpr double kMargin = 1e-9;

// Larger heights and widths are divided.
constexpr double kSmallest = 1e-290;

// The smallest and largest distance from 0 of positions at most `half` from `middle`.
struct Reach {
    double least, greatest;

    Reach(double middle, double half)
        : least(std::max(0.0, std::abs(middle) - half) * (1 - kMargin)),
          greatest((std::abs(middle) + half) * (1 + kMargin)) {}
};

Cover within(double least, double greatest, double limit) {
    return greatest < limit ? Cover::all : least > limit ? Cover::none : Cover::some;
}

Cover both(Cover a, Cover b) { return std::min(a, b); }

// A rectangle, given by its centre and half its size.
struct Cell {
    double x, y, half_x, half_y;
};

// The rectangle in the coordinates of a shape with this centre and rotation.
Cell turned(const Cell& cell, double x, double y, const Rotation& turn) {
    const double c = std::abs(turn.cosine), s = std::abs(turn.sine);
    return {turn.along(cell.x - x, cell.y - y), turn.across(cell.x - x, cell.y - y), cell.half_x * c + cell.half_y * s,
            cell.half_x * s + cell.half_y * c};
}

Cover in_disc(const Cell& cell, double x, double y, double r2) {
    const Reach along(cell.x - x, cell.half_x), across(cell.y - y, cell.half_y);
    return within(squared(along.least, across.least), squared(along.greatest, across.greatest), r2);
}

Cover cover_of(const Circle& s, const Cell& cell) { return in_disc(cell, s.x, s.y, s.r2); }

Cover cover_of(const Ellipse& s, const Cell& cell) {
    const Cell seen = turned(cell, s.x, s.y, s.turn);
    const Reach along(seen.x / s.along, seen.half_x / s.along), across(seen.y / s.across, seen.half_y / s.across);
    return within(squared(along.least, across.least), squared(along.greatest, across.greatest), 1);
}

Cover cover_of(const Box& s, const Cell& cell) {
    const Cell seen = turned(cell, s.x, s.y, s.turn);
    const Reach along(seen.x, seen.half_x), across(seen.y, seen.half_y);
    return both(within(along.least, along.greatest, s.half_along),
                within(across.least, across.greatest, s.half_across));
}

Cover cover_of(const Annulus& s, const Cell& cell) {
    return both(in_disc(cell, s.x, s.y, s.outer2), inverse(in_disc(cell, s.x, s.y, s.inner2)));
}

Cover cover_of(const Pie& s, const Cell& cell) { return both(cover_of(s.ring, cell), Cover::some); }
Cover cover_of(const Sector&, const Cell&) { return Cover::some; }

Cover cover_of(const Rectangle& s, const Cell& cell) {
    const auto along = [](double low, double high, double middle, double half) {
        return both(middle - half > low && middle + half < high ? Cover::all : Cover::some,
                    middle + half < low || middle - half > high ? Cover::none : Cover::all);
    };
    return both(along(s.x_low, s.x_high, cell.x, cell.half_x), along(s.y_low, s.y_high, cell.y, cell.half_y));
}

Cover cover_of(const Point& s, const Cell& cell) {
    return std::abs(s.x - cell.x) > cell.half_x || std::abs(s.y - cell.y) > cell.half_y ? Cover::none : Cover::some;
}

Cover cover_of(const Field&, const Cell&) { return Cover::all; }

// A polygon whose edges are sorted into slabs of height, so that an event is only compared with edges near its height.
class Polygon {
public:
    explicit Polygon(std::span<const double> points) : points_(points), extent_(extent_of(points)) {
        const std::size_t edges = points.size() / 2;
        const double height = extent_.y_high - extent_.y_low;
        if (height > kSmallest) {
            double spanned = 0;
            for (std::size_t e = 0; e < edges; ++e) {
                const Edge edge = edge_at(e);
                spanned += (edge.y1 - edge.y0) / height;
            }
            // About three entries an edge: long edges give few slabs.
            slabs_ = static_cast<std::size_t>(
                std::clamp(2 * static_cast<double>(edges) / std::max(spanned, 1.0), 1.0, static_cast<double>(edges)));
            inverse_ = static_cast<double>(slabs_) / height;
        }
        starts_.assign(slabs_ + 1, 0);
        for (std::size_t pass = 0; pass < 2; ++pass) {
            for (std::size_t e = 0; e < edges; ++e) {
                const Edge edge = edge_at(e);
                for (std::size_t s = slab_of(edge.y0), last = slab_of(edge.y1); s <= last; ++s) {
                    if (pass == 0) {
                        ++starts_[s + 1];
                    } else {
                        entries_[starts_[s]++] = static_cast<std::uint32_t>(e);
                    }
                }
            }
            if (pass == 0) {
                for (std::size_t s = 0; s < slabs_; ++s) starts_[s + 1] += starts_[s];
                entries_.resize(starts_.back());
            }
        }
        std::rotate(starts_.begin(), starts_.end() - 1, starts_.end());
        starts_.front() = 0;
    }

    std::size_t size() const { return points_.size() / 2; }

    // As PolygonFill of rasterize.cpp: on an edge, or non-zero winding number.
    bool holds(double x, double y) const {
        if (!(x >= extent_.x_low && x <= extent_.x_high && y >= extent_.y_low && y <= extent_.y_high)) return false;
        const std::size_t slab = slab_of(y);
        int winding = 0;
        for (std::size_t k = starts_[slab]; k < starts_[slab + 1]; ++k) {
            const Edge edge = edge_at(entries_[k]);
            if (y < edge.y0 || y > edge.y1) continue;
            if (edge.y0 == edge.y1) {
                if (std::min(edge.x0, edge.x1) <= x && x <= std::max(edge.x0, edge.x1)) return true;
                continue;
            }
            const double at = crossing(edge.x0, edge.y0, edge.x1, edge.y1, y);
            if (at == x) return true;
            if (y < edge.y1 && at < x) winding += edge.rising ? 1 : -1;
        }
        return winding != 0;
    }

    // Calls visit(extent) for each edge.
    template <class Visit>
    void each_edge(const Visit& visit) const {
        for (std::size_t e = 0; e < points_.size() / 2; ++e) {
            const Edge edge = edge_at(e);
            visit(Extent{std::min(edge.x0, edge.x1), std::max(edge.x0, edge.x1), edge.y0, edge.y1});
        }
    }

private:
    // From the lower to the upper end.
    struct Edge {
        double x0, y0, x1, y1;
        bool rising;
    };

    Edge edge_at(std::size_t e) const {
        const std::size_t n = points_.size(), from = e == 0 ? n - 2 : 2 * e - 2, to = 2 * e;
        const double x0 = points_[from], y0 = points_[from + 1], x1 = points_[to], y1 = points_[to + 1];
        return y0 <= y1 ? Edge{x0, y0, x1, y1, true} : Edge{x1, y1, x0, y0, false};
    }

    // Monotonic in y: an event is in a slab of every edge that crosses its height.
    std::size_t slab_of(double y) const {
        return std::min(slabs_ - 1, static_cast<std::size_t>(std::max(0.0, (y - extent_.y_low) * inverse_)));
    }

    std::span<const double> points_;
    Extent extent_;
    std::size_t slabs_ = 1;
    double inverse_ = 0;
    std::vector<std::size_t> starts_;  // the edges of slab s are entries [starts[s], starts[s + 1])
    std::vector<std::uint32_t> entries_;
};

struct Part {
    std::unique_ptr<const Polygon> polygon;  // or null, and
    PlainShape plain;
    Extent extent;
    bool complement;

    bool holds(double x, double y) const {
        const bool inside =
            polygon ? polygon->holds(x, y) : std::visit([x, y](const auto& shape) { return shape.holds(x, y); }, plain);
        return inside != complement;
    }
};

bool is_bounded(const Extent& extent) { return extent.x_low > -kInfinity; }

// Cells [x_begin, x_end) x [y_begin, y_end).
struct Cells {
    std::size_t x_begin, x_end, y_begin, y_end;
};

class Grid {
public:
    Grid(const Extent& extent, std::size_t side)
        : extent_(extent), side_(is_bounded(extent) ? side : 0),
          x_step_((extent.x_high - extent.x_low) / static_cast<double>(side)),
          y_step_((extent.y_high - extent.y_low) / static_cast<double>(side)),
          x_inverse_(x_step_ > kSmallest ? 1 / x_step_ : 0), y_inverse_(y_step_ > kSmallest ? 1 / y_step_ : 0) {}

    // Everything outside counts as one more cell, the last one.
    std::size_t outside() const { return side_ * side_; }
    std::size_t side() const { return side_; }

    std::size_t cell_at(double x, double y) const {
        if (side_ == 0 || !(x >= extent_.x_low && x <= extent_.x_high && y >= extent_.y_low && y <= extent_.y_high)) {
            return outside();
        }
        return row_at(y) * side_ + column_at(x);
    }

    // The cells that an extent touches, and some more.
    Cells around(const Extent& extent) const {
        if (side_ == 0) return {0, 0, 0, 0};
        if (!is_bounded(extent)) return {0, side_, 0, side_};
        const double x_pad = x_step_ * kMargin, y_pad = y_step_ * kMargin;
        return {column_at(extent.x_low - x_pad), column_at(extent.x_high + x_pad) + 1, row_at(extent.y_low - y_pad),
                row_at(extent.y_high + y_pad) + 1};
    }

    // A slightly enlarged cell.
    Cell cell(std::size_t column, std::size_t row) const {
        const double far = 1e-12
                           * std::max({std::abs(extent_.x_low), std::abs(extent_.x_high), std::abs(extent_.y_low),
                                       std::abs(extent_.y_high)});
        return {extent_.x_low + (static_cast<double>(column) + 0.5) * x_step_,
                extent_.y_low + (static_cast<double>(row) + 0.5) * y_step_, x_step_ * (0.5 + kMargin) + far,
                y_step_ * (0.5 + kMargin) + far};
    }

private:
    std::size_t column_at(double x) const { return place(x, extent_.x_low, x_inverse_); }
    std::size_t row_at(double y) const { return place(y, extent_.y_low, y_inverse_); }
    std::size_t place(double value, double low, double inverse) const {
        return static_cast<std::size_t>(std::clamp((value - low) * inverse, 0.0, static_cast<double>(side_ - 1)));
    }

    Extent extent_;
    std::size_t side_;
    double x_step_, y_step_, x_inverse_, y_inverse_;
};

// Computes for each cell the components that may contain its events, in order, up to the first that contains all of
// them.
class RegionIndex {
public:
    RegionIndex(const Shapes& shapes, std::size_t events) : grid_(Extent{}, 0) {
        Extent all{kInfinity, -kInfinity, kInfinity, -kInfinity};
        for (std::size_t s = 0; s < shapes.kinds.size(); ++s) {
            const auto kind = ShapeKind(shapes.kinds[s]);
            const auto params = params_of(shapes, s);
            const Extent extent = padded(extent_of(kind, params));
            if (is_bounded(extent)) {
                all = {std::min(all.x_low, extent.x_low), std::max(all.x_high, extent.x_high),
                       std::min(all.y_low, extent.y_low), std::max(all.y_high, extent.y_high)};
            }
            parts_.push_back({kind == ShapeKind::polygon ? std::make_unique<const Polygon>(params) : nullptr,
                              plain_shape(kind, params), extent, shapes.complements[s] != 0});
        }
        for (const std::int64_t offset : shapes.component_offsets) ends_.push_back(static_cast<std::size_t>(offset));
        if (all.x_low <= all.x_high) grid_ = Grid(all, side_for(all, events));
        fill();
    }

    // The first component that contains the event, or the number of components.
    std::size_t find(double x, double y) const {
        if (!(std::abs(x) <= kLargest && std::abs(y) <= kLargest)) return components();
        const std::size_t cell = grid_.cell_at(x, y);
        for (std::size_t k = starts_[cell]; k < starts_[cell + 1]; ++k) {
            const std::uint32_t entry = entries_[k];
            if ((entry & 1) != 0 || holds(entry >> 1, x, y)) return entry >> 1;
        }
        return components();
    }

    std::size_t components() const { return ends_.size() - 1; }

private:
    static constexpr std::size_t kMostVisits = 4'000'000;
    static constexpr double kLargest = std::numeric_limits<double>::max();

    // Finer for many shapes and vertices, but not for few events or overlapping shapes: making the grid must cost less
    // than using it.
    std::size_t side_for(const Extent& all, std::size_t events) const {
        double pieces = 0, layers = 1;
        for (const Part& part : parts_) {
            pieces += part.polygon ? 1 + static_cast<double>(part.polygon->size()) / 4 : 1;
            const double area = (part.extent.x_high - part.extent.x_low) / (all.x_high - all.x_low)
                                * ((part.extent.y_high - part.extent.y_low) / (all.y_high - all.y_low));
            layers += area < 1 ? area : 1;
        }
        const double side = std::min({8 * std::sqrt(pieces), std::sqrt(static_cast<double>(events)) / 4,
                                      std::sqrt(static_cast<double>(kMostVisits) / layers)});
        return static_cast<std::size_t>(std::clamp(side, 1.0, 512.0));
    }

    static Extent padded(const Extent& extent) {
        if (!is_bounded(extent)) return extent;
        const double far = 1e-12
                           * std::max({std::abs(extent.x_low), std::abs(extent.x_high), std::abs(extent.y_low),
                                       std::abs(extent.y_high)});
        return {extent.x_low - far, extent.x_high + far, extent.y_low - far, extent.y_high + far};
    }

    bool holds(std::size_t component, double x, double y) const {
        for (std::size_t s = ends_[component]; s < ends_[component + 1]; ++s) {
            if (!parts_[s].holds(x, y)) return false;
        }
        return true;
    }

    void fill() {
        const std::size_t cells = grid_.outside() + 1;
        std::vector<std::vector<std::uint32_t>> lists(cells);
        std::vector<Cover> covers(cells);
        for (std::size_t c = 0; c < components(); ++c) {
            if (ends_[c] == ends_[c + 1]) continue;
            Cells window = grid_.around(Extent{});
            Cover outside = Cover::all;
            for (std::size_t s = ends_[c]; s < ends_[c + 1]; ++s) {
                const Part& part = parts_[s];
                const bool bounded = is_bounded(part.extent);
                outside = both(outside, bounded               ? (part.complement ? Cover::all : Cover::none)
                                        : is_everywhere(part) ? (part.complement ? Cover::none : Cover::all)
                                                              : Cover::some);
                if (part.complement || !bounded) continue;
                const Cells reach = grid_.around(part.extent);
                window = {std::max(window.x_begin, reach.x_begin), std::min(window.x_end, reach.x_end),
                          std::max(window.y_begin, reach.y_begin), std::min(window.y_end, reach.y_end)};
            }
            add(lists.back(), c, outside);
            if (window.x_begin >= window.x_end || window.y_begin >= window.y_end) continue;
            each_cell(window, [&](std::size_t, std::size_t, std::size_t cell) { covers[cell] = Cover::all; });
            for (std::size_t s = ends_[c]; s < ends_[c + 1]; ++s) cover(parts_[s], window, covers);
            each_cell(window, [&](std::size_t, std::size_t, std::size_t cell) { add(lists[cell], c, covers[cell]); });
        }
        starts_.assign(1, 0);
        for (const auto& list : lists) {
            entries_.insert(entries_.end(), list.begin(), list.end());
            starts_.push_back(entries_.size());
        }
    }

    static bool is_everywhere(const Part& part) { return !part.polygon && std::holds_alternative<Field>(part.plain); }

    static void add(std::vector<std::uint32_t>& list, std::size_t component, Cover cover) {
        if (cover == Cover::none || (!list.empty() && (list.back() & 1) != 0)) return;
        list.push_back(static_cast<std::uint32_t>(2 * component + (cover == Cover::all)));
    }

    template <class Visit>
    void each_cell(const Cells& window, const Visit& visit) const {
        for (std::size_t row = window.y_begin; row < window.y_end; ++row) {
            for (std::size_t column = window.x_begin; column < window.x_end; ++column) {
                visit(column, row, row * grid_.side() + column);
            }
        }
    }

    // Reduces the covers of the cells of a window to the part that a shape covers.
    void cover(const Part& part, const Cells& window, std::vector<Cover>& covers) const {
        const auto lessen = [&](std::size_t cell, Cover cover) {
            covers[cell] = both(covers[cell], part.complement ? inverse(cover) : cover);
        };
        if (!part.polygon) {
            std::visit(
                [&](const auto& shape) {
                    each_cell(window, [&](std::size_t column, std::size_t row, std::size_t cell) {
                        lessen(cell, cover_of(shape, grid_.cell(column, row)));
                    });
                },
                part.plain);
            return;
        }
        // A cell without an edge nearby is entirely inside or outside.
        const Polygon& polygon = *part.polygon;
        std::vector<std::uint8_t> near(grid_.outside(), 0);
        std::size_t visits = 0;
        polygon.each_edge([&](const Extent& edge) {
            const Cells reach = grid_.around(padded(edge));
            visits += (reach.x_end - reach.x_begin) * (reach.y_end - reach.y_begin);
            if (visits > kMostVisits) return;
            each_cell(reach, [&](std::size_t, std::size_t, std::size_t cell) { near[cell] = 1; });
        });
        if (visits > kMostVisits) std::fill(near.begin(), near.end(), std::uint8_t{1});
        each_cell(window, [&](std::size_t column, std::size_t row, std::size_t cell) {
            const Cell middle = grid_.cell(column, row);
            lessen(cell, near[cell] != 0 ? Cover::some : polygon.holds(middle.x, middle.y) ? Cover::all : Cover::none);
        });
    }

    std::vector<Part> parts_;
    std::vector<std::size_t> ends_;  // component c has the parts [ends[c], ends[c + 1])
    Grid grid_;
    std::vector<std::size_t> starts_;     // cell k has the entries [starts[k], starts[k + 1])
    std::vector<std::uint32_t> entries_;  // 2 * component, + 1 if it contains the whole cell
};

// Calls set(event, component) for each event, with the number of components for events outside; returns how many are
// inside.
template <class Set>
std::size_t find_all(const RegionIndex& index, std::size_t events, const Coordinates& x, const Coordinates& y,
                     int threads, const Set& set) {
    constexpr std::size_t kPiece = 1 << 16;
    std::atomic<std::size_t> found{0};
    std::visit(
        [&](const auto* xs) {
            const auto* ys = std::get<std::remove_const_t<decltype(xs)>>(y);
            parallel_for((events + kPiece - 1) / kPiece, threads, Control{}, 0, 1, [&](std::size_t piece, const auto&) {
                std::size_t inside = 0;
                for (std::size_t i = piece * kPiece; i < std::min(events, (piece + 1) * kPiece); ++i) {
                    const std::size_t component = index.find(static_cast<double>(xs[i]), static_cast<double>(ys[i]));
                    set(i, component);
                    inside += component < index.components();
                }
                found += inside;
            });
        },
        x);
    return found;
}

}  // namespace

std::size_t points_in_region(const Shapes& shapes, std::size_t events, const Coordinates& x, const Coordinates& y,
                             int threads, std::uint8_t* inside) {
    check_shapes(shapes);
    require(x.index() == y.index(), "x and y differ in type");
    const RegionIndex index(shapes, events);
    return find_all(index, events, x, y, threads, [&](std::size_t event, std::size_t component) {
        inside[event] = static_cast<std::uint8_t>(component < index.components());
    });
}

std::size_t region_labels(const Shapes& shapes, std::span<const std::int64_t> group_offsets, std::size_t events,
                          const Coordinates& x, const Coordinates& y, int threads, std::int32_t* labels) {
    check_shapes(shapes);
    check_offsets(group_offsets, shapes.component_offsets.size() - 1, "group_offsets");
    require(x.index() == y.index(), "x and y differ in type");
    std::vector<std::int32_t> groups;
    for (std::size_t g = 0; g + 1 < group_offsets.size(); ++g) {
        groups.insert(groups.end(), static_cast<std::size_t>(group_offsets[g + 1] - group_offsets[g]),
                      static_cast<std::int32_t>(g));
    }
    groups.push_back(-1);
    const RegionIndex index(shapes, events);
    return find_all(index, events, x, y, threads,
                    [&](std::size_t event, std::size_t component) { labels[event] = groups[component]; });
}

}  // namespace chandra_bin
