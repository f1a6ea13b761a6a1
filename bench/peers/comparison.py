"""What is compared: rows of the table, the sides of each comparison, and the figures measured for them."""

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
    """One measured value in the unit of its row, with the time and CPU used, or 0 if not measured."""

    value: float
    seconds: float = 0.0
    server_cpu_seconds: float = 0.0
    client_cpu_seconds: float = 0.0
    other_cpu_seconds: float = 0.0


@dataclass(frozen=True)
class Row:
    """A row of the table: one line for each peer.

    `ratios`: by peer, the target for how many times better mq9fast is, or None without a target. `maximum`:
    the target for the value of mq9fast itself.
    """

    name: str
    unit: str
    ratios: Mapping[str, float | None] = field(default_factory=dict)
    maximum: float | None = None


Work = Callable[[Server], Mapping[str, Figure]]


@dataclass(frozen=True)
class Side:
    """One server in a comparison, and its work. The table shows its settings and `note`."""

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
class Comparison:
    """Sides that do the same work, mq9fast first. Each figure is named after its row."""

    rows: Sequence[Row]
    sides: Sequence[Side]


class Lap:
    """Measures a time, and the CPU seconds that server, client (this process) and others use in it."""

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
    """Return the rows `name, p50` and `name, p99`, in microseconds."""
    seconds.sort()
    return {
        f"{name}, p{percent}": lap.figure(seconds[len(seconds) * percent // 100] * 1e6)
        for percent in (50, 99)
    }
