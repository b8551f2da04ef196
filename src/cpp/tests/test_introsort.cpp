// Our introsort must leave ties where GCC's std::sort leaves them: compared with it where it is there, and by what all
// sorted records sum up to where the C++ library is another.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <random>
#include <vector>

#include "chandra_bin/introsort.hpp"

using Records = std::vector<std::uint64_t>;

static Records sorted(Records records, int threads) {
    chandra_bin::introsort(records.data(), records.size(), threads);
    return records;
}

static bool same_as_std_sort(const Records& records, int threads) {
    const Records ours = sorted(records, threads);
#ifdef __GLIBCXX__
    Records theirs = records;
    std::sort(theirs.begin(), theirs.end(), [](auto a, auto b) { return (a >> 32) < (b >> 32); });
#else
    const Records theirs = sorted(records, 1);
#endif
    return ours == theirs;
}

int main() {
    std::mt19937_64 random(7);
    int failures = 0, cases = 0;
    std::uint64_t sum = 0xcbf29ce484222325;  // FNV-1a, of whole records
    const auto check = [&](const Records& records, const char* what) {
        for (const std::uint64_t record : sorted(records, 1)) sum = (sum ^ record) * 0x100000001b3;
        for (int threads : {1, 2, 5}) {
            ++cases;
            if (!same_as_std_sort(records, threads)) {
                ++failures;
                std::printf("differs: %s, %zu records, %d threads\n", what, records.size(), threads);
            }
        }
    };
    const auto with_keys = [](std::size_t size, auto key) {
        Records records(size);
        for (std::size_t i = 0; i < size; ++i)
            records[i] = (static_cast<std::uint64_t>(static_cast<std::uint32_t>(key(i))) << 32) | i;
        return records;
    };
    std::vector<std::size_t> sizes;
    for (std::size_t size = 0; size < 70; ++size) sizes.push_back(size);
    for (std::size_t size : {255u, 256u, 257u, 272u, 273u, 511u, 1000u, 4097u, 300000u}) sizes.push_back(size);
    for (int i = 0; i < 200; ++i) sizes.push_back(random() % 3000);
    for (std::size_t size : sizes) {
        for (std::uint32_t kinds : {1u, 2u, 3u, 17u, 1000u, 0xffffffffu}) {
            check(with_keys(size, [&](std::size_t) { return random() % kinds; }), "random");
        }
        check(with_keys(size, [](std::size_t i) { return i; }), "ascending");
        check(with_keys(size, [&](std::size_t i) { return size - i; }), "descending");
        check(with_keys(size, [&](std::size_t i) { return std::min(i, size - i); }), "organ pipe");
        check(with_keys(size, [](std::size_t i) { return i % 7; }), "saw");
    }
    ++cases;
    if (sum != 0x79702ba6066738d3) {
        ++failures;
        std::printf("differs: the sum of all is %#jx\n", std::uintmax_t{sum});
    }
    // An adversary (McIlroy 1999) drives quicksort to its depth limit, and so to the heap sort.
    {
        const std::size_t size = 100000;
        std::vector<std::uint32_t> value(size, static_cast<std::uint32_t>(size));
        std::vector<std::uint32_t> index(size);
        std::uint32_t solid = 0, candidate = 0;
        for (std::uint32_t i = 0; i < size; ++i) index[i] = i;
        std::sort(index.begin(), index.end(), [&](std::uint32_t a, std::uint32_t b) {
            if (value[a] == size && value[b] == size) value[a == candidate ? a : b] = solid++;
            if (value[a] == size)
                candidate = a;
            else if (value[b] == size)
                candidate = b;
            return value[a] < value[b];
        });
        check(with_keys(size, [&](std::size_t i) { return value[i]; }), "adversary");
        check(with_keys(size, [&](std::size_t i) { return value[i] / 8; }), "adversary with ties");
    }
    std::printf("introsort: %d passed, %d failed\n", cases - failures, failures);
    return failures != 0;
}
