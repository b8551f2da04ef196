#include "chandra_bin/event_histogram.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <variant>

#include "pixel_index.hpp"
#include "scatter.hpp"

namespace chandra_bin {
namespace {

template <class Adder>
std::size_t histogram(const Adder& adder, std::size_t events, const Coordinates& x, const Coordinates& y,
                      const Edges& x_edges, const Edges& y_edges, const Selection* selection, int threads) {
    detail::require(x.index() == y.index(), "x and y differ in type");
    const detail::PixelFinder finder(x_edges, y_edges);
    Selection::MaskList masks;  // on the image's pixels, which are found once for both
    std::optional<Selection> others;
    if (selection != nullptr) {
        others = selection->without_masks_of(x, y, x_edges, y_edges, masks);
        selection = &*others;
    }
    return std::visit(
        [&](const auto* xs) {
            using T = std::remove_cvref_t<decltype(*xs)>;
            const auto find = [&finder, &masks, xs, ys = std::get<const T*>(y)](
                                  std::size_t begin, std::size_t size, const std::uint16_t* some, std::size_t count,
                                  std::int32_t* pixels) {
                finder.find(xs + begin, ys + begin, size, some, count, pixels);
                for (const auto& mask : masks) {
                    std::array<std::uint8_t, kBlock> passes;
                    mask->find(pixels, count, passes.data());
                    detail::drop_failing(passes.data(), count, pixels);
                }
            };
            return detail::scatter(adder, find, selection, events, x_edges.size * y_edges.size, threads);
        },
        x);
}

}  // namespace

std::size_t event_histogram(std::size_t events, const Coordinates& x, const Coordinates& y, const Edges& x_edges,
                            const Edges& y_edges, const Selection* selection, int threads, std::int32_t* image) {
    return histogram(detail::Counts{image}, events, x, y, x_edges, y_edges, selection, threads);
}

std::size_t event_histogram(std::size_t events, const Coordinates& x, const Coordinates& y, const Coordinates& weights,
                            const Edges& x_edges, const Edges& y_edges, const Selection* selection, int threads,
                            double* image) {
    return std::visit(
        [&](const auto* values) {
            using T = std::remove_cvref_t<decltype(*values)>;
            return histogram(detail::Weights<T>{image, values}, events, x, y, x_edges, y_edges, selection, threads);
        },
        weights);
}

}  // namespace chandra_bin
