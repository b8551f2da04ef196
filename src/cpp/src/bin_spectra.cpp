#include "chandra_bin/bin_spectra.hpp"

#include <algorithm>
#include <type_traits>
#include <vector>

#include "pixel_index.hpp"
#include "scatter.hpp"

namespace chandra_bin {
namespace {

using detail::require;

// Sets labels[i], i < count, to the bin of event begin + some[i], or to -1.
class GivenLabels {
public:
    explicit GivenLabels(const std::int32_t* labels) : labels_(labels) {}

    void find(std::size_t begin, std::size_t, const std::uint16_t* some, std::size_t count,
              std::int32_t* labels) const {
        for (std::size_t i = 0; i < count; ++i) labels[i] = labels_[begin + some[i]];
    }

private:
    const std::int32_t* labels_;
};

template <class T>
class MappedLabels {
public:
    explicit MappedLabels(const BinmapLookup& lookup)
        : x_(std::get<const T*>(lookup.x)), y_(std::get<const T*>(lookup.y)), binmap_(lookup.binmap),
          finder_(lookup.x_edges, lookup.y_edges), empty_(lookup.x_edges.size == 0 || lookup.y_edges.size == 0) {}

    void find(std::size_t begin, std::size_t size, const std::uint16_t* some, std::size_t count,
              std::int32_t* labels) const {
        if (empty_) return void(std::fill_n(labels, count, -1));
        finder_.find(x_ + begin, y_ + begin, size, some, count, labels);
        for (std::size_t i = 0; i < count; ++i) {
            const std::int32_t pixel = labels[i];
            labels[i] = binmap_[std::max(pixel, 0)] | (pixel >> 31);  // -1 outside
        }
    }

private:
    const T *x_, *y_;
    const std::int32_t* binmap_;
    detail::PixelFinder finder_;
    bool empty_;
};

// The index of each chip in Chips::numbers, -1 for other chips.
class ChipPlaces {
public:
    explicit ChipPlaces(const Chips& chips) : chips_(chips) {
        if (chips.numbers.empty()) return;
        const auto [lowest, highest] = std::minmax_element(chips.numbers.begin(), chips.numbers.end());
        lowest_ = *lowest;
        places_.assign(static_cast<std::size_t>(*highest - *lowest + 1), -1);
        for (std::size_t k = 0; k < chips.numbers.size(); ++k) {
            std::int32_t& place = places_[static_cast<std::size_t>(chips.numbers[k] - lowest_)];
            require(place < 0, "a chip is there twice");
            place = static_cast<std::int32_t>(k);
        }
    }

    std::size_t count() const { return std::max<std::size_t>(1, chips_.numbers.size()); }

    std::int32_t operator()(std::size_t event) const {
        if (places_.empty()) return 0;
        const auto at = static_cast<std::size_t>(chips_.of_event[event] - lowest_);  // wraps around if below
        return at < places_.size() ? places_[at] : -1;
    }

private:
    Chips chips_;
    std::int32_t lowest_ = 0;
    std::vector<std::int32_t> places_;
};

template <class Labels, class Channel>
std::size_t add_spectra(std::size_t events, const Labels& labels, std::size_t bin_count, const Channel* channel,
                        const Channels& channels, const Chips& chips, const Selection* selection, int threads,
                        std::int32_t* spectra) {
    constexpr std::size_t most = std::size_t{1} << 31;
    const ChipPlaces places(chips);
    require(bin_count < most && channels.count < most && bin_count * channels.count < most / places.count(),
            "there must be less than 2^31 elements");
    const std::size_t channel_count = channels.count;
    const std::int64_t first = channels.first;
    const auto find = [&, channel_count, first](std::size_t begin, std::size_t size, const std::uint16_t* some,
                                                std::size_t count, std::int32_t* cells) {
        labels.find(begin, size, some, count, cells);
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t event = begin + some[i];
            const std::int32_t label = cells[i], place = places(event);
            const auto at =
                static_cast<std::size_t>(static_cast<std::int64_t>(channel[event]) - first);  // wraps around if below
            const bool inside =
                (label >= 0) & (static_cast<std::size_t>(label) < bin_count) & (at < channel_count) & (place >= 0);
            const std::size_t cell =
                (static_cast<std::size_t>(place) * bin_count + static_cast<std::size_t>(label)) * channel_count + at;
            cells[i] = inside ? static_cast<std::int32_t>(cell) : -1;
        }
    };
    return detail::scatter(detail::Counts{spectra}, find, selection, events, places.count() * bin_count * channel_count,
                           threads);
}

}  // namespace

std::size_t bin_spectra(std::size_t events, const EventBins& bins, std::size_t bin_count, const Channels& channels,
                        const Chips& chips, const Selection* selection, int threads, std::int32_t* spectra) {
    const auto add = [&](const auto& labels) {
        return std::visit(
            [&](const auto* channel) {
                return add_spectra(events, labels, bin_count, channel, channels, chips, selection, threads, spectra);
            },
            channels.of_event);
    };
    if (const auto* given = std::get_if<const std::int32_t*>(&bins)) return add(GivenLabels(*given));
    const auto& lookup = std::get<BinmapLookup>(bins);
    require(lookup.x.index() == lookup.y.index(), "x and y differ in type");
    return std::visit([&](const auto* x) { return add(MappedLabels<std::remove_cvref_t<decltype(*x)>>(lookup)); },
                      lookup.x);
}

}  // namespace chandra_bin
