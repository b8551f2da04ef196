// Our introsort must leave ties where GCC's std::sort leaves them. Built with libstdc++ only.
#include <algorithm>
#include <cstdio>
#include <random>
#include <vector>

#include "chandra_bin/introsort.hpp"

using Records = std::vector<std::uint64_t>;

static bool same_as_std_sort(const Records& records, int threads) {
    Records ours = records, theirs = records;
    chandra_bin::introsort(ours.data(), ours.size(), threads);
    std::sort(theirs.begin(), theirs.end(), [](auto a, auto b) { return (a >> 32) < (b >> 32); });
    return ours == theirs;
}

int main() {
    std::mt19937_64 random(7);
    int failures = 0, cases = 0;
    const auto check = [&](const Records& records, const char* what) {
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
        for (std::size_t i = 0; i < size; ++i) records[i] = (std::uint64_t(std::uint32_t(key(i))) << 32) | i;
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
    // An adversary (McIlroy 1999) drives quicksort to its depth limit, and so to the heap sort.
    {
        const std::size_t size = 100000;
        std::vector<std::uint32_t> value(size, std::uint32_t(size));
        std::vector<std::uint32_t> index(size);
        std::uint32_t solid = 0, candidate = 0;
        for (std::uint32_t i = 0; i < size; ++i) index[i] = i;
        std::sort(index.begin(), index.end(), [&](std::uint32_t a, std::uint32_t b) {
            if (value[a] == size && value[b] == size) value[a == candidate ? a : b] = solid++;
            if (value[a] == size) candidate = a;
            else if (value[b] == size) candidate = b;
            return value[a] < value[b];
        });
        check(with_keys(size, [&](std::size_t i) { return value[i]; }), "adversary");
        check(with_keys(size, [&](std::size_t i) { return value[i] / 8; }), "adversary with ties");
    }
    std::printf("introsort: %d passed, %d failed\n", cases - failures, failures);
    return failures != 0;
}
