// How a caller watches a long kernel and stops it.
#pragma once

#include <stdexcept>

namespace chandra_bin {

// Thrown by a kernel whose `Control::poll` asked it to stop. Nothing that the caller gave was half written
// in a way it could mistake for a result: outputs are then undefined and must be dropped.
class Cancelled : public std::runtime_error {
public:
    Cancelled() : std::runtime_error("cancelled") {}
};

// `poll(data, fraction)` is called from the calling thread only, many times a second, with the fraction of the
// work done (0 to 1); it returns false to stop the kernel. A null `poll` is never called.
struct Control {
    bool (*poll)(void* data, double fraction) = nullptr;
    void* data = nullptr;

    void check(double fraction) const {
        if (poll != nullptr && !poll(data, fraction)) throw Cancelled();
    }
};

}  // namespace chandra_bin
