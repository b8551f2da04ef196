// A thread that joins in its destructor: a std::jthread for C++20 libraries without one (libc++ before version 20).
#pragma once

#include <thread>
#include <utility>

namespace chandra_bin {

// Throws std::system_error if the system provides no more threads.
class Thread {
public:
    template <class Function, class... Arguments>
    explicit Thread(Function function, Arguments... arguments)
        : thread_(std::move(function), std::move(arguments)...) {}
    Thread(Thread&&) = default;
    Thread& operator=(Thread&&) = delete;
    ~Thread() {
        if (thread_.joinable()) thread_.join();
    }

private:
    std::thread thread_;
};

}  // namespace chandra_bin
