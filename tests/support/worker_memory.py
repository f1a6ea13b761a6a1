"""The memory of a process that runs tests.

Threads of clients allocate and free hundreds of megabytes. glibc gives threads heaps of their own, and does
not give their memory back to the system: a process grew to 1.5 GB. Brokers are other processes, and keep the
heaps that a user's broker has.
"""

import contextlib
import ctypes
import gc

from mq9fast._core.base.heap_memory import trim_memory

# mallopt's name for the largest number of heaps.
M_ARENA_MAX = -8


def use_one_heap() -> None:
    """Let all threads of this process use one heap. With another C library than glibc, do nothing."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def give_back_memory() -> None:
    """Return what was freed to the system."""
    gc.collect()
    trim_memory()
