// A priority queue that keeps its memory between uses. Private to src/cpp/src.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace chandra_bin::detail {

// The least element (by <) is on top. Four children a node: fewer cache lines than two.
template <class T>
class Heap {
public:
    bool empty() const { return items_.empty(); }
    const T& top() const { return items_.front(); }
    void clear() { items_.clear(); }

    void push(const T& item) {
        items_.push_back(item);
        std::size_t hole = items_.size() - 1;
        while (hole > 0) {
            const std::size_t parent = (hole - 1) / 4;
            if (!(item < items_[parent])) break;
            items_[hole] = items_[parent];
            hole = parent;
        }
        items_[hole] = item;
    }

    void pop() {
        const T item = items_.back();
        items_.pop_back();
        const std::size_t size = items_.size();
        if (size == 0) return;
        T* const items = items_.data();
        std::size_t hole = 0;
        for (std::size_t child = 1; child < size; child = 4 * hole + 1) {
            std::size_t least = child;
            if (child + 4 <= size) {
                const std::size_t a = items[child + 1] < items[child] ? child + 1 : child;
                const std::size_t b = items[child + 3] < items[child + 2] ? child + 3 : child + 2;
                least = items[b] < items[a] ? b : a;
            } else {
                for (std::size_t other = child + 1; other < size; ++other) {
                    if (items[other] < items[least]) least = other;
                }
            }
            if (!(items[least] < item)) break;
            items[hole] = items[least];
            hole = least;
        }
        items[hole] = item;
    }

private:
    std::vector<T> items_;
};

}  // namespace chandra_bin::detail
