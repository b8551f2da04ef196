// Priority queues that keep their memory between uses. Private to src/cpp/src.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

namespace chandra_bin::detail {

// The smallest element (by <) is on top. With four children per node it touches fewer cache lines than with two.
//
// The place of a popped element stays free until the next operation: a push, which usually ends near the top, as the
// neighbours of a taken pixel are similar to it, or another access to the top.
template <class T>
class Heap {
public:
    bool empty() const { return items_.size() == (top_is_free_ ? 1 : 0); }
    const T& top() {
        settle();
        return items_.front();
    }
    void clear() {
        items_.clear();
        top_is_free_ = false;
    }

    void push(const T& item) {
        if (top_is_free_) {
            top_is_free_ = false;
            sink(item);
            return;
        }
        items_.push_back(item);
        rise(items_.size() - 1, item);
    }

    // The heap must not be empty.
    void pop() {
        settle();
        top_is_free_ = true;
    }

private:
    void settle() {
        if (!top_is_free_) return;
        top_is_free_ = false;
        const T item = items_.back();
        items_.pop_back();
        if (!items_.empty()) sink_from_end(item);
    }

    // Returns the smallest of the children from `child`.
    std::size_t least_child(std::size_t child) const {
        const T* const items = items_.data();
        const std::size_t size = items_.size();
        if (child + 4 <= size) {
            const std::size_t a = items[child + 1] < items[child] ? child + 1 : child;
            const std::size_t b = items[child + 3] < items[child + 2] ? child + 3 : child + 2;
            return items[b] < items[a] ? b : a;
        }
        std::size_t least = child;
        for (std::size_t other = child + 1; other < size; ++other) {
            if (items[other] < items[least]) least = other;
        }
        return least;
    }

    // Inserts at the free top, for an item that belongs near it.
    void sink(const T& item) {
        T* const items = items_.data();
        std::size_t hole = 0;
        for (std::size_t child = 1; child < items_.size(); child = 4 * hole + 1) {
            const std::size_t least = least_child(child);
            if (!(items[least] < item)) break;
            items[hole] = items[least];
            hole = least;
        }
        items[hole] = item;
    }

    // Inserts an item that belongs near the bottom: moves down to the leaves first, then up.
    void sink_from_end(const T& item) {
        T* const items = items_.data();
        std::size_t hole = 0;
        for (std::size_t child = 1; child < items_.size(); child = 4 * hole + 1) {
            const std::size_t least = least_child(child);
            items[hole] = items[least];
            hole = least;
        }
        rise(hole, item);
    }

    void rise(std::size_t hole, const T& item) {
        T* const items = items_.data();
        while (hole > 0) {
            const std::size_t parent = (hole - 1) / 4;
            if (!(item < items[parent])) break;
            items[hole] = items[parent];
            hole = parent;
        }
        items[hole] = item;
    }

    std::vector<T> items_;
    bool top_is_free_ = false;
};

// A priority queue for unequal elements that are mostly popped soon after they are pushed.
//
// The smallest elements are kept sorted in front, where they cost a few moves in one or two cache lines. All others lie
// in layers, unsorted: each element of a layer is smaller than all elements of the layers before it. The last layer is
// split by a pivot until it is short enough to be sorted into the front (an incremental quicksort, Paredes & Navarro
// 2006, ALENEX). A split neither jumps nor branches by its elements, as a heap does, and elements that are never popped
// stay unsorted.
template <class T>
class LayeredQueue {
public:
    bool empty() const { return size_ == 0; }
    const T& top() const { return front_[size_ - 1]; }
    void clear() {
        size_ = 0;
        depth_ = 0;
    }

    void push(const T& item) {
        if (size_ == kFront) {
            if (depth_ == 0) add_layer();
            std::vector<T>& last = layers_[depth_ - 1].items;
            last.insert(last.end(), front_.begin(), front_.begin() + kHalf);
            std::copy(front_.begin() + kHalf, front_.end(), front_.begin());
            size_ = kFront - kHalf;
        }
        if (depth_ > 0 && !(item < front_[0])) {
            std::size_t layer = depth_ - 1;
            while (layer > 0 && !(item < layers_[layer].end)) --layer;
            layers_[layer].items.push_back(item);
            return;
        }
        insert(item);
    }

    // The queue must not be empty.
    void pop() {
        if (--size_ == 0 && depth_ > 0) refill();
    }

private:
    static constexpr std::size_t kFront = 32;  // 16 to 64 take the same time, 8 takes longer
    static constexpr std::size_t kHalf = kFront / 2;

    struct Layer {
        std::vector<T> items;
        T end;  // above all items; unused in the first layer
    };

    void insert(const T& item) {
        std::size_t hole = size_++;
        for (; hole > 0 && front_[hole - 1] < item; --hole) front_[hole] = front_[hole - 1];
        front_[hole] = item;
    }

    void add_layer() {
        if (depth_ == layers_.size()) layers_.emplace_back();
        layers_[depth_++].items.clear();
    }

    void refill() {
        while (layers_[depth_ - 1].items.size() > kHalf) split();
        for (const T& item : layers_[depth_ - 1].items) insert(item);
        --depth_;
    }

    // Moves the smaller elements of the last layer to a new layer: those below the median of three, or the smaller half
    // where that pivot would split off less than an eighth. So layers hold O(n) elements, and n of them take O(n log n).
    void split() {
        add_layer();
        std::vector<T>& from = layers_[depth_ - 2].items;
        std::vector<T>& to = layers_[depth_ - 1].items;
        const std::size_t size = from.size();
        T pivot = median(from[0], from[size / 2], from[size - 1]);
        std::size_t smaller = 0;
        for (const T& item : from) smaller += static_cast<std::size_t>(item < pivot);
        if (std::min(smaller, size - smaller) < size / 8) {
            smaller = size / 2;
            const auto half = from.begin() + static_cast<std::ptrdiff_t>(smaller);
            std::nth_element(from.begin(), half, from.end());
            pivot = *half;
            to.assign(from.begin(), half);
            from.erase(from.begin(), half);
        } else {
            to.resize(smaller + 1);  // the last one is overwritten by each element that is not smaller
            std::size_t kept = 0;
            std::size_t moved = 0;
            for (std::size_t i = 0; i < size; ++i) {
                const T item = from[i];
                const auto is_smaller = static_cast<std::size_t>(item < pivot);
                from[kept] = item;
                to[moved] = item;
                moved += is_smaller;
                kept += 1 - is_smaller;
            }
            from.resize(kept);
            to.resize(smaller);
        }
        layers_[depth_ - 1].end = pivot;
    }

    static const T& median(const T& a, const T& b, const T& c) {
        return std::max(std::min(a, b), std::min(std::max(a, b), c));
    }

    std::array<T, kFront> front_;  // descending; no element of a layer is below the first
    std::size_t size_ = 0;
    std::vector<Layer> layers_;  // descending; the first `depth_` are in use, and the last of these is not empty
    std::size_t depth_ = 0;
};

}  // namespace chandra_bin::detail
