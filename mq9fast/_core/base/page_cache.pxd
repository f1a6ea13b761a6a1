"""Has the system write, or forget, what it keeps of a file in memory, in small steps.

One call for a large file would keep a core for milliseconds: many kernels do not take a thread off its core
in the middle of a system call, even if the event loop is to run there.
"""


cdef int write_out(int descriptor, long long at, long long end) noexcept nogil
