"""Lets a test set the clocks that a broker process sees.

A C library (clocks.c), preloaded into the broker, adds offsets from a shared file. The machine's clocks do
not change.
"""

import mmap
import struct
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path

NANOSECONDS = 1_000_000_000


@cache
def build_library() -> Path:
    """The library to preload, compiled once for all tests of this process."""
    source = Path(__file__).with_name("clocks.c")
    built = Path(tempfile.mkdtemp(prefix="mq9fast-clocks-")) / "clocks.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", built, source], check=True)
    return built


class Clocks:
    """The environment variables for brokers, and the time of their clocks, in seconds."""

    def __init__(self, tmp_path: Path) -> None:
        path = tmp_path / "clocks"
        path.write_bytes(bytes(16))
        with path.open("r+b") as file:
            self._offsets = mmap.mmap(file.fileno(), 16)
        self.env = {"LD_PRELOAD": str(build_library()), "CLOCKS": str(path)}
        self._wall_offset_ns = self._boot_offset_ns = 0

    def set_wall(self, unix_seconds: float) -> None:
        """Set the wall clock, as NTP or an operator does."""
        self._wall_offset_ns = int((unix_seconds - time.time()) * NANOSECONDS)
        self._write()

    def step_wall(self, seconds: float) -> None:
        """Move the wall clock forward, or back."""
        self._wall_offset_ns += int(seconds * NANOSECONDS)
        self._write()

    def pass_time(self, seconds: float) -> None:
        """Move the wall clock and the time since boot forward, as suspending a machine does."""
        self._wall_offset_ns += int(seconds * NANOSECONDS)
        self._boot_offset_ns += int(seconds * NANOSECONDS)
        self._write()

    @property
    def wall(self) -> float:
        """The time of the wall clock."""
        return time.time() + self._wall_offset_ns / NANOSECONDS

    def _write(self) -> None:
        # One write for each offset: a broker reads them at any time.
        struct.pack_into("=q", self._offsets, 8, self._boot_offset_ns)
        struct.pack_into("=q", self._offsets, 0, self._wall_offset_ns)
