// Progress and cancellation of long kernels.
#pragma once

#include <stdexcept>

namespace chandra_bin {

// Thrown by a kernel whose `Control::poll` requested a stop. Outputs are then undefined and must be discarded.
class Cancelled : public std::runtime_error {
public:
    Cancelled() : std::runtime_error("cancelled") {}
};

// `poll(data, fraction)` is called many times a second, only from the calling thread, with the fraction done (0 to 1).
// It returns false to stop the kernel. A null `poll` is never called.
struct Control {
    bool (*poll)(void* data, double fraction) = nullptr;
    void* data = nullptr;

    void check(double fraction) const {
        if (poll != nullptr && !poll(data, fraction)) throw Cancelled();
    }
};

}  // namespace chandra_bin
