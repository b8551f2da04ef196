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

// A heap for elements that are mostly popped soon after they are pushed: the smallest elements are kept sorted in front
// of the heap, where they cost a few moves in one or two cache lines.
template <class T>
class FrontedHeap {
public:
    bool empty() const { return size_ == 0; }
    const T& top() const { return front_[size_ - 1]; }
    void clear() {
        size_ = 0;
        rest_.clear();
    }

    void push(const T& item) {
        if (size_ == kFront) {
            for (std::size_t i = 0; i < kHalf; ++i) rest_.push(front_[i]);
            std::copy(front_.begin() + kHalf, front_.end(), front_.begin());
            size_ = kFront - kHalf;
        }
        if (size_ > 0 && !rest_.empty() && !(item < front_[0])) {
            rest_.push(item);
            return;
        }
        std::size_t hole = size_++;
        for (; hole > 0 && front_[hole - 1] < item; --hole) front_[hole] = front_[hole - 1];
        front_[hole] = item;
    }

    // The heap must not be empty.
    void pop() {
        if (--size_ > 0) return;
        while (size_ < kHalf && !rest_.empty()) {
            front_[size_++] = rest_.top();
            rest_.pop();
        }
        std::reverse(front_.begin(), front_.begin() + static_cast<std::ptrdiff_t>(size_));
    }

private:
    static constexpr std::size_t kFront = 32;  // 16 to 64 take the same time, 8 takes longer
    static constexpr std::size_t kHalf = kFront / 2;

    std::array<T, kFront> front_;  // descending; no element of `rest_` is below the first
    std::size_t size_ = 0;
    Heap<T> rest_;
};

}  // namespace chandra_bin::detail
