// A sort with the same order of ties as in contbin.
//
// contbin orders its pixels with GCC's std::sort. Smoothed values are often equal, so the order in which that sort
// leaves equal elements decides which pixel starts a bin. Other standard libraries give other orders. This is the
// introsort (Musser 1997) described in GCC's documentation, so that results are the same on every platform.
#pragma once

#include <cstddef>
#include <cstdint>

namespace chandra_bin {

// Sorts `count` records ascending by only their upper 32 bits (the lower 32 bits are a payload), with exactly the
// permutation of GCC's std::sort under that comparison, for any number of threads. Cost: n log n, in place.
void introsort(std::uint64_t* records, std::size_t count, int threads);

}  // namespace chandra_bin
