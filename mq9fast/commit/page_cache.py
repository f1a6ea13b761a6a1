"""Limits how much of the value log stays in the system's page cache after it was written.

Without a limit, the value log fills the memory of the machine. Each new page then takes the place of another
one, which may belong to another program; and a virtual machine has to get new pages from its host, at a tenth
of the speed. A backlog that is larger than the limit is read from the disk.

`server/housekeeping.py` calls `step` in every tick.
"""

import asyncio
import os
from collections import deque
from pathlib import Path

from mq9fast._core.base.page_cache import forget_pages
from mq9fast.storage.store import Values

# The share of the machine's memory, or of the container's, that the value log may fill.
SHARE_OF_MEMORY = 8
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


class PageCacheLimit:
    """Drops the pages of the oldest written segments of `values` past `max_bytes`. All methods are called in
    the event loop."""

    def __init__(self, values: Values, max_bytes: int) -> None:
        self._values = values
        self._max_bytes = max_bytes
        self._kept: deque[tuple[int, int]] = deque()  # (number, bytes) of segments that may be in the cache
        self._kept_bytes = 0
        # Segments of earlier runs are not counted: few of them are read again.
        self._last = max(values.complete(), default=0)
        self._dropping: asyncio.Future[None] | None = None

    def step(self) -> None:
        """Begin to drop pages, if there are too many, in a thread. Raises the OSError of the time before."""
        if self._dropping is not None:
            if not self._dropping.done():
                return
            dropped, self._dropping = self._dropping, None
            dropped.result()
        for number, size in self._values.durable_after(self._last):
            self._kept.append((number, size))
            self._kept_bytes += size
            self._last = number
        files = []
        while self._kept_bytes > self._max_bytes:
            number, size = self._kept.popleft()
            self._kept_bytes -= size
            files.append(self._values.file(number))
        if files:
            self._dropping = asyncio.get_running_loop().run_in_executor(None, drop_pages, files)


def drop_pages(files: list[Path]) -> None:
    """Drop the pages of files from the page cache. Pages that are not on the disk yet stay. Raises OSError.

    A file that was deleted has no pages. macOS has no such call.
    """
    if not hasattr(os, "posix_fadvise"):
        return
    for file in files:
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            forget_pages(descriptor)
        finally:
            os.close(descriptor)


def cache_limit_bytes() -> int:
    """The share of the memory that the value log may fill."""
    return available_memory_bytes(CONTAINER_LIMIT) // SHARE_OF_MEMORY


def available_memory_bytes(limit_file: Path) -> int:
    """The memory of the machine, or the limit of the container in a file of cgroup v2 if that is less."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(memory, int(limit_file.read_text()))
    except (OSError, ValueError):  # there is no limit: no file, or "max"
        return memory
