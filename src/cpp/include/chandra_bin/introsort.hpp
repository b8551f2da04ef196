// The sort whose order of ties is part of contbin's result.
//
// contbin orders its pixels with GCC's std::sort. Smoothed values are often equal, so the order in which that
// sort happens to leave equal elements decides which pixel starts a bin. Other standard libraries leave other
// orders: this is the introsort (Musser 1997) that GCC's documentation describes, so that every platform bins alike.
#pragma once

#include <cstddef>
#include <cstdint>

namespace chandra_bin {

// Sorts `count` records ascending by their upper 32 bits only (the lower 32 bits are a payload), with exactly the
// permutation of GCC's std::sort under that comparison, for any number of threads. Cost: n log n, in place.
void introsort(std::uint64_t* records, std::size_t count, int threads);

}  // namespace chandra_bin
