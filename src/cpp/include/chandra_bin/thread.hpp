// A thread that is joined when it goes: std::jthread, which not every C++20 library has (libc++ before version 20).
#pragma once

#include <thread>
#include <utility>

namespace chandra_bin {

// Throws std::system_error where the system gives no more threads.
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
