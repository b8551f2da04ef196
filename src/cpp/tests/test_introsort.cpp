// Our introsort must leave ties where GCC's std::sort leaves them: compared with it where it is there, and by what all
// sorted records sum up to where the C++ library is another.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <numeric>
#include <random>
#include <vector>

#include "chandra_bin/introsort.hpp"

namespace {

using chandra_bin::Piece;
using chandra_bin::Record;
using Records = std::vector<Record>;

// The records that matter, in order; take(record) is called for each.
template <class Matters, class Take>
Records sorted(Records records, std::size_t longest, int threads, const Matters& matters, const Take& take) {
    const std::vector<Piece> pieces = chandra_bin::introsort_pieces(records.data(), records.size(), longest, threads);
    Records result;
    chandra_bin::PieceSorter sorter;
    std::size_t end = 0;
    for (const Piece& piece : pieces) {
        REQUIRE(piece.first == end);
        REQUIRE((piece.size <= longest || piece.depth == Piece::kSorted));
        end += piece.size;
        const Record* const first = records.data() + piece.first;
        std::copy(first, first + piece.size, sorter.restart(piece).begin());
        for (Record record = 0; sorter.next(matters, record);) {
            result.push_back(record);
            take(record);
        }
    }
    REQUIRE(end == records.size());
    return result;
}

Records sorted(const Records& records, std::size_t longest, int threads) {
    return sorted(records, longest, threads, [](Record) { return true; }, [](Record) {});
}

bool same_as_std_sort(const Records& records, std::size_t longest, int threads) {
    const Records ours = sorted(records, longest, threads);
#ifdef __GLIBCXX__
    Records theirs = records;
    std::sort(theirs.begin(), theirs.end(), [](auto a, auto b) { return (a >> 32) < (b >> 32); });
#else
    const Records theirs = sorted(records, 16, 1);
#endif
    return ours == theirs;
}

void check(const Records& records, const char* what) {
    for (const int threads : {1, 2, 5}) {
        const std::size_t longest = threads == 1 ? 16 : threads == 2 ? 100 : 4096;
        CAPTURE(what);
        CAPTURE(records.size());
        CAPTURE(threads);
        CHECK(same_as_std_sort(records, longest, threads));
    }
}

template <class Key>
Records with_keys(std::size_t size, const Key& key) {
    Records records(size);
    for (std::size_t i = 0; i < size; ++i) {
        records[i] = (std::uint64_t{static_cast<std::uint32_t>(key(i))} << 32) | i;
    }
    return records;
}

}  // namespace

TEST_CASE("ties are left where GCC's std::sort leaves them") {
    std::mt19937_64 random(7);
    std::uint64_t sum = 0xcbf29ce484222325;  // FNV-1a, of whole records
    const auto check_and_add = [&](const Records& records, const char* what) {
        for (const std::uint64_t record : sorted(records, 4096, 1)) sum = (sum ^ record) * 0x100000001b3;
        check(records, what);
    };
    std::vector<std::size_t> sizes(70);
    std::iota(sizes.begin(), sizes.end(), std::size_t{0});
    for (std::size_t size : {255u, 256u, 257u, 272u, 273u, 511u, 1000u, 4097u, 300000u}) sizes.push_back(size);
    for (int i = 0; i < 200; ++i) sizes.push_back(random() % 3000);
    for (std::size_t size : sizes) {
        for (std::uint32_t kinds : {1u, 2u, 3u, 17u, 1000u, 0xffffffffu}) {
            check_and_add(with_keys(size, [&](std::size_t) { return random() % kinds; }), "random");
        }
        check_and_add(with_keys(size, [](std::size_t i) { return i; }), "ascending");
        check_and_add(with_keys(size, [&](std::size_t i) { return size - i; }), "descending");
        check_and_add(with_keys(size, [&](std::size_t i) { return std::min(i, size - i); }), "organ pipe");
        check_and_add(with_keys(size, [](std::size_t i) { return i % 7; }), "saw");
    }
    CHECK(sum == 0x79702ba6066738d3);
}

TEST_CASE("records that do not matter are left out, and the others stay in order") {
    std::mt19937_64 random(8);
    for (const std::uint32_t kinds : {1u, 17u, 1000u, 0xffffffffu}) {
        const Records records = with_keys(20000, [&](std::size_t) { return random() % kinds; });
        const Records all = sorted(records, 16, 1);
        for (const std::uint64_t share : {2u, 100u, 5000u, 30000u}) {
            CAPTURE(kinds);
            CAPTURE(share);
            const auto matters = [&](Record record) { return static_cast<std::uint32_t>(record) % share == 1; };
            Records expected;
            std::copy_if(all.begin(), all.end(), std::back_inserter(expected), matters);
            CHECK(sorted(records, 4096, 2, matters, [](Record) {}) == expected);
        }
        // Each record takes those of nearby payloads, as a bin takes the pixels around its seed.
        std::vector<bool> taken(records.size());
        const auto is_free = [&](Record record) { return !taken[static_cast<std::uint32_t>(record)]; };
        const auto take_around = [&](Record record) {
            const std::uint32_t i = static_cast<std::uint32_t>(record) / 50 * 50;
            for (std::uint32_t k = i; k < i + 50; ++k) taken[k] = true;
        };
        Records expected;
        for (const Record record : all) {
            if (!is_free(record)) continue;
            expected.push_back(record);
            take_around(record);
        }
        taken.assign(records.size(), false);
        CHECK(sorted(records, 4096, 2, is_free, take_around) == expected);
    }
}

// It drives quicksort to its depth limit, and so to the heap sort.
TEST_CASE("the input of an adversary (McIlroy 1999)") {
    const std::size_t size = 100000;
    std::vector<std::uint32_t> value(size, static_cast<std::uint32_t>(size));
    std::vector<std::uint32_t> index(size);
    std::uint32_t solid = 0, candidate = 0;
    for (std::uint32_t i = 0; i < size; ++i) index[i] = i;
    std::sort(index.begin(), index.end(), [&](std::uint32_t a, std::uint32_t b) {
        if (value[a] == size && value[b] == size) value[a == candidate ? a : b] = solid++;
        if (value[a] == size) {
            candidate = a;
        } else if (value[b] == size) {
            candidate = b;
        }
        return value[a] < value[b];
    });
    check(with_keys(size, [&](std::size_t i) { return value[i]; }), "adversary");
    check(with_keys(size, [&](std::size_t i) { return value[i] / 8; }), "adversary with ties");
}
