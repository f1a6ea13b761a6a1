"""Returns free memory of the process to the operating system. `server/housekeeping.py` calls it when idle."""

import ctypes


def trim() -> None:
    """Return the free memory of glibc's heap to the system. With another C library, this does nothing."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):
        return
