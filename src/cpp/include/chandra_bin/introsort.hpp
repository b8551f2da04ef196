// A sort with the same order of ties as in contbin, which sorts only the pieces that are needed.
//
// contbin orders its pixels with GCC's std::sort. Smoothed values are often equal, so the order in which that sort
// leaves equal elements decides which pixel starts a bin. Other standard libraries give other orders. This is the
// introsort (Musser 1997) described in GCC's documentation, so that results are the same on every platform.
//
// The pieces that it makes do not depend on each other. Most pixels belong to a bin before it is their turn to start
// one, so pieces in which all do stay unsorted.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace chandra_bin {

// Records are sorted ascending by only their upper 32 bits (the lower 32 bits are a payload), with exactly the
// permutation of GCC's std::sort under that comparison.
using Record = std::uint64_t;

// Records whose keys lie between those of the pieces before it and those of the pieces after it, or are equal to them.
struct Piece {
    std::size_t first = 0;
    std::size_t size = 0;
    int depth = 0;  // how many more splits are allowed; kSorted: the records are sorted
    static constexpr int kSorted = -1;
};

// Splits the records into pieces of at most `longest` (16 or more), some of them sorted, in place, for any number of
// threads. Cost: n log(n / longest).
std::vector<Piece> introsort_pieces(Record* records, std::size_t count, std::size_t longest, int threads);

// Splits a piece of more than 16 records. `piece` becomes its first part, and the second part is returned, unless no
// more splits are allowed: then the piece gets sorted, and an empty one is returned.
Piece introsort_split(Record* records, Piece& piece);

// Sorts a piece of at most 16 records.
void introsort_short(Record* records, Piece& piece);

// Returns the records of one piece in order, but only those that matter, and sorts where they are.
class PieceSorter {
public:
    // The records of the piece, which the caller fills in.
    std::vector<Record>& restart(const Piece& piece) {
        waiting_.assign(1, Piece{0, piece.size, piece.depth});
        sorted_ = Piece();
        records_.resize(piece.size);
        return records_;
    }

    // Sets `record` to the next record for which matters(record) is true now; returns false at the end.
    template <class Matters>
    bool next(const Matters& matters, Record& record) {
        for (;;) {
            for (; sorted_.size > 0; --sorted_.size) {
                record = records_[sorted_.first++];
                if (matters(record)) {
                    --sorted_.size;
                    return true;
                }
            }
            if (waiting_.empty()) return false;
            sorted_ = waiting_.back();
            waiting_.pop_back();
            sort_first(matters);
        }
    }

private:
    // Splits `sorted_` until its first part is short enough to be sorted, or nothing in it matters.
    template <class Matters>
    void sort_first(const Matters& matters) {
        for (;;) {
            const auto first = records_.begin() + static_cast<std::ptrdiff_t>(sorted_.first);
            if (std::none_of(first, first + static_cast<std::ptrdiff_t>(sorted_.size), matters)) {
                sorted_.size = 0;
                return;
            }
            if (sorted_.depth == Piece::kSorted) return;
            if (sorted_.size <= kShort) return introsort_short(records_.data(), sorted_);
            const Piece second = introsort_split(records_.data(), sorted_);
            if (second.size > 0) waiting_.push_back(second);
        }
    }

    static constexpr std::size_t kShort = 16;

    std::vector<Record> records_;
    std::vector<Piece> waiting_;  // the pieces after `sorted_`, last first
    Piece sorted_;                // the rest of the sorted piece whose records are returned
};

}  // namespace chandra_bin
