"""How much free memory the process keeps. glibc gives freed memory back to the system at once, and each new
page costs a page fault: a sixth of the event loop's time with large messages.

`server/process.py` calls `keep_freed_memory`, `server/housekeeping.py` calls `trim_memory` when the broker is
idle. With another C library both do nothing.
"""

cdef extern from *:
    """
    #include <stdlib.h>
    #ifdef __GLIBC__
    #include <malloc.h>
    static int mq9fast_keep_freed(int heap_bytes, int mapped_bytes) {
        return mallopt(M_TRIM_THRESHOLD, heap_bytes) && mallopt(M_MMAP_THRESHOLD, mapped_bytes);
    }
    #define mq9fast_trim() malloc_trim(0)
    #else
    #define mq9fast_keep_freed(heap_bytes, mapped_bytes) 0
    #define mq9fast_trim() 0
    #endif
    """
    bint set_thresholds "mq9fast_keep_freed"(int heap_bytes, int mapped_bytes) noexcept
    int malloc_trim "mq9fast_trim"() noexcept nogil

cdef enum:
    # Free bytes at the end of the heap that are kept.
    HEAP_BYTES = 64 << 20
    # Larger blocks are mapped on their own. The most that glibc accepts.
    MAPPED_BYTES = 32 << 20


def keep_freed_memory() -> bool:
    """Keep the freed memory of the process for what is allocated next. Returns whether the C library can."""
    return set_thresholds(HEAP_BYTES, MAPPED_BYTES)


def trim_memory() -> None:
    """Return the free memory of the process to the system."""
    with nogil:
        malloc_trim()
