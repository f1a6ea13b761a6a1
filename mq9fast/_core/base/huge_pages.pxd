"""Huge pages for large tables that are accessed at random addresses: fewer misses of the processor's TLB.

`BytesMap` calls it for each table that it allocates.
"""

cdef extern from *:
    """
    #if defined(__linux__)
    #include <stdint.h>
    #include <sys/mman.h>
    #include <unistd.h>
    static void mq9fast_advise_huge_pages(void *start, size_t size) {
        uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
        uintptr_t first = ((uintptr_t)start + page - 1) & ~(page - 1);
        uintptr_t end = ((uintptr_t)start + size) & ~(page - 1);
        if (size >= 4u << 20)
            madvise((void *)first, end - first, MADV_HUGEPAGE);
    }
    #else
    #define mq9fast_advise_huge_pages(start, size)
    #endif
    """
    void advise_huge_pages "mq9fast_advise_huge_pages"(void* start, size_t size) noexcept
