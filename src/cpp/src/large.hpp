// Memory of arrays as large as the image. Private to src/cpp/src.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace chandra_bin::detail {

// Requests huge pages where the system supports it (Linux, madvise): a growing bin reads all over the image, and the
// processor caches too few addresses of small pages.
template <class T>
struct LargeAllocator {
    using value_type = T;

    LargeAllocator() = default;
    template <class Other>
    LargeAllocator(const LargeAllocator<Other>&) {}

    T* allocate(std::size_t count) {
        const std::size_t bytes = count * sizeof(T);  // a vector never asks for more than its max_size
        void* const memory = ::operator new(bytes, alignment(bytes));
#if defined(__linux__) && defined(MADV_HUGEPAGE)
        if (bytes >= kWorthHugePages) madvise(memory, bytes, MADV_HUGEPAGE);  // the result only affects speed
#endif
        return static_cast<T*>(memory);
    }
    // Elements are not initialized: the thread that fills them is the first to touch the memory, which the system
    // clears at that time.
    template <class Each>
    void construct(Each* place) {
        ::new (static_cast<void*>(place)) Each;
    }
    template <class Each, class... Values>
    void construct(Each* place, Values&&... values) {
        ::new (static_cast<void*>(place)) Each(std::forward<Values>(values)...);
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

// Zeros; those that are neither read nor changed take no memory.
template <class T>
class SparseZeros {
public:
    explicit SparseZeros(std::size_t count) : zeros_(static_cast<T*>(std::calloc(count, sizeof(T)))) {
        static_assert(std::is_integral_v<T>);
        if (!zeros_) throw std::bad_alloc();
    }
    T& operator[](std::size_t i) { return zeros_.get()[i]; }

private:
    struct Free {
        void operator()(T* memory) const { std::free(memory); }
    };
    std::unique_ptr<T, Free> zeros_;
};

}  // namespace chandra_bin::detail
