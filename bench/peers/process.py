"""CPU seconds and resident bytes of a process and its children, from /proc."""

import os
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def family(pid: int) -> list[int]:
    """Return the process and all its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in family(int(child)))]


def cpu_seconds(pid: int) -> float:
    return sum(_ticks(each) for each in family(pid)) / TICKS_PER_SECOND


def machine_cpu_seconds() -> float:
    """Return the CPU seconds of all processes and of the kernel, on all processors."""
    user, nice, system, _, _, *interrupts = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + sum(interrupts)) / TICKS_PER_SECOND


def rss_bytes(pid: int) -> int:
    return sum(int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in family(pid)) * PAGE_BYTES


def runs(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        return _fields(pid)[0] not in "ZX"
    except FileNotFoundError:
        return False


def _ticks(pid: int) -> int:
    fields = _fields(pid)
    return int(fields[11]) + int(fields[12])


def _fields(pid: int) -> list[str]:
    # The name is in parentheses and may contain blanks, so fields are counted after it.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
