// Memory of arrays that are as large as the image. Private to src/cpp/src.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace chandra_bin::detail {

// Asks for huge pages where the system gives them to those who ask (Linux, madvise): a growing bin reads all over the image,
// and a processor keeps the addresses of too few small ones.
template <class T>
struct LargeAllocator {
    using value_type = T;

    LargeAllocator() = default;
    template <class Other>
    LargeAllocator(const LargeAllocator<Other>&) {}

    T* allocate(std::size_t count) {
        const std::size_t bytes = count * sizeof(T);  // a vector asks for no more than its max_size
        void* const memory = ::operator new(bytes, alignment(bytes));
#if defined(__linux__) && defined(MADV_HUGEPAGE)
        if (bytes >= kWorthHugePages) madvise(memory, bytes, MADV_HUGEPAGE);  // its answer is a matter of speed alone
#endif
        return static_cast<T*>(memory);
    }
    void deallocate(T* memory, std::size_t count) { ::operator delete(memory, alignment(count * sizeof(T))); }

    template <class Other>
    bool operator==(const LargeAllocator<Other>&) const {
        return true;
    }

private:
    static constexpr std::size_t kHugePage = std::size_t{1} << 21;  // x86-64, and arm64 with pages of 4 KB
    static constexpr std::size_t kWorthHugePages = 2 * kHugePage;

    static std::align_val_t alignment(std::size_t bytes) {
        return std::align_val_t{bytes >= kWorthHugePages ? kHugePage : alignof(std::max_align_t)};
    }
};

template <class T>
using LargeVector = std::vector<T, LargeAllocator<T>>;

}  // namespace chandra_bin::detail
