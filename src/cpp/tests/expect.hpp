// What a test program expects, and how often it did not come.
#pragma once

#include <cstdio>
#include <stdexcept>

inline int passed = 0, failed = 0;

// `seed` is that of the case, 0 where it has none.
inline void expect(bool holds, const char* what, long long seed) {
    (holds ? passed : failed) += 1;
    if (!holds) std::printf("failed: %s, seed %lld\n", what, seed);
}

template <class Call>
void expect_refusal(const Call& call, const char* what) {
    bool refused = false;
    try {
        call();
    } catch (const std::invalid_argument&) {
        refused = true;
    }
    expect(refused, what, 0);
}
