"""One run: a broker or a cluster, a workload, and a number of faults; the history is checked at the end."""

import asyncio
import contextlib
import random
import shutil
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.fault.harness.at_rest import SilentLossError
from tests.fault.harness.workload import Workload
from tests.fault.history.checker import find_violations
from tests.fault.history.history import History
from tests.fault.history.records import Violation, now

# One violation is often followed by many.
SHOWN = 5


class System(Protocol):
    """What clients work with."""

    @property
    def urls(self) -> Sequence[str]: ...

    def for_clients(self) -> contextlib.AbstractContextManager[None]:
        """This thread can connect to `urls` inside of it."""
        ...

    def end(self) -> None:
        """End it, and check its logs. Raises AssertionError."""
        ...

    def kill(self) -> None:
        """End it in any state, also after `end`."""
        ...

    def keep(self, to: Path) -> None:
        """Copy its logs and data."""
        ...


@dataclass(frozen=True)
class Kind:
    """A kind of systems, and the faults that can happen to them.

    `start(directory, chance)` returns a system that serves. `scene(system, history, workload, chance, stop)`
    returns what a fault is called with; `stop` ends the work of the clients.
    """

    name: str
    start: Callable[[Path, random.Random], System]
    scene: Callable[..., Any]
    faults: Mapping[str, Callable[[Any], Awaitable[None]]]
    workload: type[Workload] = Workload


async def work_during(scene: Any, inject: Callable[[Any], Awaitable[None]]) -> None:
    """A fault while clients work."""
    work = asyncio.create_task(scene.workload.work(scene.stop))
    try:
        await inject(scene)
    finally:
        scene.stop.set()
        await work


async def fault_in_work(scene: Any, inject: Callable[[Any], Awaitable[None]]) -> None:
    """A fault while clients work; then see what is stored."""
    await work_during(scene, inject)
    await scene.workload.create()
    await scene.workload.list_all()


@dataclass
class Count:
    injected: int = 0
    operations: int = 0
    violations: int = 0


@dataclass
class Result:
    """Of one run or several, by fault. `broken`: what to print of each violation."""

    counts: dict[str, Count] = field(default_factory=lambda: defaultdict(Count))
    broken: list[str] = field(default_factory=list)

    def add(self, other: "Result") -> None:
        for name, count in other.counts.items():
            mine = self.counts[name]
            mine.injected += count.injected
            mine.operations += count.operations
            mine.violations += count.violations
        self.broken += other.broken


class Run:
    """`phases`: how many faults, fewer if they take longer than `seconds`. `seed`: which, and when.
    `kept`: where a history with violations is kept."""

    def __init__(
        self, kind: Kind, seed: int, faults: Sequence[str], phases: int, seconds: float, kept: Path
    ) -> None:
        self.seed = seed
        self._kind = kind
        self._faults = faults
        self._phases = phases
        self._kept = kept
        self._deadline = time.monotonic() + seconds
        self._chance = random.Random(f"run {seed}")
        self._history = History()
        self._begun: list[tuple[float, str]] = []
        self.result = Result()

    def run(self) -> Result:
        with tempfile.TemporaryDirectory(prefix="mq9fast-fault-") as name:
            asyncio.run(self._run(Path(name)))
        return self.result

    async def _run(self, directory: Path) -> None:
        system = await asyncio.to_thread(self._kind.start, directory, self._chance)
        workload = self._kind.workload(self._history, lambda: system.urls, str(self.seed), f"w{self.seed}")
        try:
            with system.for_clients():
                await workload.create()
                for _ in range(self._phases):
                    if time.monotonic() < self._deadline:
                        await self._phase(system, workload)
                await workload.finish()
            system.end()
        except Exception as error:
            self._note(self._last_fault(now()), "".join(traceback.format_exception(error)))
        finally:
            system.kill()
        self._check()
        if self.result.broken:
            self._keep(system)

    async def _phase(self, system: System, workload: Workload) -> None:
        name = self._chance.choice(self._faults)
        self._begun.append((now(), name))
        count, before = self.result.counts[name], self._history.operations
        scene = self._kind.scene(system, self._history, workload, self._chance, asyncio.Event())
        try:
            await fault_in_work(scene, self._kind.faults[name])
        except SilentLossError as error:
            self._note(name, str(error))
        count.injected += 1
        count.operations += self._history.operations - before

    def _check(self) -> None:
        violations = find_violations(self._history)
        for violation in violations:
            self.result.counts[self._last_fault(_time_of(violation))].violations += 1
        self.result.broken += [str(violation) for violation in violations[:SHOWN]]
        if len(violations) > SHOWN:
            self.result.broken.append(f"and {len(violations) - SHOWN} more")

    def _note(self, fault: str, text: str) -> None:
        self.result.counts[fault].violations += 1
        self.result.broken.append(text)

    def _last_fault(self, moment: float) -> str:
        return next((name for begun, name in reversed(self._begun) if begun <= moment), "start")

    def _keep(self, system: System) -> None:
        """Keep the history, the logs and the data of a run with violations."""
        kept = self._kept / f"{self._kind.name}-{self.seed}"
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        self._history.save(kept / "history.jsonl")
        system.keep(kept)
        faults = ", ".join(name for _, name in self._begun)
        self.result.broken.append(
            f"seed {self.seed}: {faults}\ncheck again: python -m tests.fault.history {kept}/history.jsonl"
        )


def _time_of(violation: Violation) -> float:
    """When the last of its facts began."""
    times = [getattr(fact, "begun", getattr(fact, "time", 0.0)) for fact in violation.facts]
    return max(times, default=float("inf")) or float("inf")
