"""What a process gives back to the system."""

import ctypes


def trim() -> None:
    """Give back memory that is free inside the process, where glibc can be asked to."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):
        return
