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

}  // namespace

TEST_CASE("queues pop the least element") {
    for (const int drift : {-1, 0, 1}) {
        CAPTURE(drift);
        pops_the_least<Heap<std::int64_t>>(drift);
        pops_the_least<LayeredQueue<std::int64_t>>(drift);
    }
}
