// Threads for kernels: created per call and joined before it returns; the first exception is rethrown.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "chandra_bin/control.hpp"
#include "chandra_bin/thread.hpp"

namespace chandra_bin {

// Calls body(i, check) once for each i = 0 .. count-1, on up to `threads` threads (including the calling one), in no
// fixed order: body(i) may write only data of i. `control` is polled between calls, and at the end, with fraction =
// first + (last - first) * done / count. A body that takes more than 0.1 s must call check() regularly, which throws to
// stop it.
template <class Body>
void parallel_for(std::size_t count, int threads, const Control& control, double first, double last, const Body& body) {
    if (count == 0) return;
    std::atomic<std::size_t> next{0};
    std::atomic<std::size_t> done{0};
    std::atomic<bool> stop{false};
    std::exception_ptr error;
    std::mutex error_mutex;

    const auto keep_error = [&] {
        const std::lock_guard lock(error_mutex);
        if (!error) error = std::current_exception();
        stop = true;
    };
    const auto work = [&](bool poll) {
        const auto check = [&] {
            if (stop) throw Cancelled();
            if (poll) control.check(first + (last - first) * static_cast<double>(done) / static_cast<double>(count));
        };
        try {
            while (!stop) {
                const std::size_t i = next.fetch_add(1);
                if (i >= count) break;
                body(i, check);
                ++done;
                check();
            }
        } catch (...) {
            keep_error();
        }
    };

    const std::size_t helpers =
        std::min<std::size_t>(threads > 1 ? static_cast<std::size_t>(threads) - 1 : 0, count > 1 ? count - 1 : 0);
    std::vector<Thread> pool;
    pool.reserve(helpers);
    try {
        for (std::size_t t = 0; t < helpers; ++t) pool.emplace_back(work, false);
    } catch (const std::system_error&) {
        // The system provides fewer threads; the existing ones and this one do the work.
    }
    work(true);
    while (!stop) {  // once at least: the others may have done it all
        try {
            control.check(first + (last - first) * static_cast<double>(done) / static_cast<double>(count));
        } catch (...) {
            keep_error();
        }
        if (pool.empty() || done == count) break;
        std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    pool.clear();
    if (error) std::rethrow_exception(error);
}

}  // namespace chandra_bin
