"""What is compared: rows of the table, the sides that contend for them, and what is measured of each."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from bench.peers import process
from bench.peers.servers import Server, Setup

RATE = "messages/s"
MICROSECONDS = "µs"
BYTES = "bytes"
SECONDS = "s"
OURS = "mq9fast"


class Figure(NamedTuple):
    """One measured value, in its row's unit, and what was used meanwhile where that was watched."""

    value: float
    seconds: float = 0.0
    server_cpu_seconds: float = 0.0
    client_cpu_seconds: float = 0.0
    other_cpu_seconds: float = 0.0


@dataclass(frozen=True)
class Row:
    """A line of the table for each peer.

    `ratios`: by peer, how many times better than it; None where nothing was promised. `most`: a ceiling for
    our own value.
    """

    name: str
    unit: str
    ratios: Mapping[str, float | None] = field(default_factory=dict)
    most: float | None = None


Work = Callable[[Server], Mapping[str, Figure]]


@dataclass(frozen=True)
class Side:
    """A contender in a contest: what it does is told by its settings and `note`."""

    setup: Setup
    work: Work
    note: str = ""
    name: str = ""

    @property
    def label(self) -> str:
        return self.name or self.setup.name

    @property
    def settings(self) -> str:
        return ", ".join(filter(None, (self.setup.settings, self.note)))


@dataclass(frozen=True)
class Contest:
    """Sides that do the same work, ours first; each figure is named after the row it belongs to."""

    rows: Sequence[Row]
    sides: Sequence[Side]


class Lap:
    """A stretch of time, and the CPU seconds that server, client (this process) and others use in it."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def __enter__(self) -> "Lap":
        self.machine_cpu = -process.machine_cpu_seconds()
        self.server_cpu = -self.server.cpu_seconds()
        self.client_cpu = -time.process_time()
        self.seconds = -time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter()
        self.client_cpu += time.process_time()
        self.server_cpu += self.server.cpu_seconds()
        self.machine_cpu += process.machine_cpu_seconds()

    def rate(self, count: int) -> Figure:
        return self.figure(count / self.seconds)

    def figure(self, value: float) -> Figure:
        others = max(0.0, self.machine_cpu - self.server_cpu - self.client_cpu)
        return Figure(value, self.seconds, self.server_cpu, self.client_cpu, others)


def percentiles(lap: Lap, name: str, seconds: list[float]) -> dict[str, Figure]:
    """Rows `name, p50` and `name, p99`, in microseconds."""
    seconds.sort()
    return {
        f"{name}, p{percent}": lap.figure(seconds[len(seconds) * percent // 100] * 1e6)
        for percent in (50, 99)
    }
