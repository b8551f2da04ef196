// The queues of growing bins compared with a sorted multiset, for elements in ascending, descending and random order.
#include <doctest/doctest.h>

#include <cstdint>
#include <random>
#include <set>

#include "../src/heap.hpp"

using namespace chandra_bin::detail;

namespace {

template <class Queue>
void pops_the_least(std::int64_t drift) {
    Queue queue;
    std::multiset<std::int64_t> expected;
    std::mt19937 random(7);
    std::int64_t middle = 0;
    for (int step = 0; step < 20'000; ++step) {
        if (step % 5'000 == 4'999) {
            queue.clear();
            expected.clear();
        }
        const bool grows = step / 1'000 % 2 == 0;
        if (expected.empty() || random() % 8 < (grows ? 5U : 3U)) {
            // The step makes elements unequal.
            const std::int64_t item = (middle + static_cast<std::int64_t>(random() % 64)) * 32'768 + step;
            middle += drift;
            queue.push(item);
            expected.insert(item);
        } else {
            REQUIRE(queue.top() == *expected.begin());
            queue.pop();
            expected.erase(expected.begin());
        }
        REQUIRE(queue.empty() == expected.empty());
    }
}

// A number that counts how often two of its kind are compared.
struct Counted {
    int value = 0;
    static inline std::int64_t comparisons = 0;
    bool operator<(const Counted& other) const {
        ++comparisons;
        return value < other.value;
    }
};

}  // namespace

TEST_CASE("a queue takes n log n comparisons, whatever the order of its elements") {
    constexpr int n = 20'000;
    for (const int shape : {-1, 1}) {  // of the values against the order: a valley, a hill
        CAPTURE(shape);
        LayeredQueue<Counted> queue;
        for (int i = -100; i < 0; ++i) queue.push({i - 10 * n});  // these fill the front
        for (int i = 0; i < n; ++i) queue.push({shape * (i < n / 2 ? 2 * i : 2 * (n - 1 - i) + 1)});
        Counted::comparisons = 0;
        int last = -20 * n;
        for (; !queue.empty(); queue.pop()) {
            REQUIRE(queue.top().value > last);
            last = queue.top().value;
        }
        CHECK(Counted::comparisons < 200 * n);  // 60 n with the median of libstdc++ or libc++; n^2 / 4 is 5000 n
    }
}

TEST_CASE("queues pop the least element") {
    for (const int drift : {-1, 0, 1}) {
        CAPTURE(drift);
        pops_the_least<Heap<std::int64_t>>(drift);
        pops_the_least<LayeredQueue<std::int64_t>>(drift);
    }
}
