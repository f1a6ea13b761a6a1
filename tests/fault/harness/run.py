"""One run: a broker, a workload, and a number of faults, whose history is checked at the end."""

import asyncio
import random
import shutil
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.fault.harness.at_rest import SilentLossError
from tests.fault.harness.faults import FAULTS, Scene
from tests.fault.harness.machine import Machine
from tests.fault.harness.workload import Workload
from tests.fault.history.checker import find_violations
from tests.fault.history.history import History
from tests.fault.history.records import Violation, now

# One violation is often followed by many.
SHOWN = 5


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

    def __init__(self, seed: int, faults: Sequence[str], phases: int, seconds: float, kept: Path) -> None:
        self.seed = seed
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
            directory = Path(name)
            asyncio.run(self._run(directory))
            if self.result.broken:
                self._keep(directory)
        return self.result

    async def _run(self, directory: Path) -> None:
        is_small = self._chance.random() < 0.7
        machine = await asyncio.to_thread(lambda: Machine(directory, is_small=is_small))
        workload = Workload(self._history, lambda: machine.urls, str(self.seed), f"w{self.seed}")
        try:
            async with self._history.ticking():
                await workload.create()
                for _ in range(self._phases):
                    if time.monotonic() < self._deadline:
                        await self._phase(machine, workload)
                await workload.finish()
            machine.broker.end()
        except Exception as error:
            self._note(self._last_fault(now()), "".join(traceback.format_exception(error)))
        finally:
            machine.broker.kill()
        self._check()

    async def _phase(self, machine: Machine, workload: Workload) -> None:
        name = self._chance.choice(self._faults)
        self._begun.append((now(), name))
        count, before = self.result.counts[name], self._history.operations
        scene = Scene(machine, self._history, workload, self._chance, asyncio.Event())
        work = asyncio.create_task(workload.work(scene.stop))
        try:
            await FAULTS[name](scene)
        except SilentLossError as error:
            self._note(name, str(error))
        finally:
            scene.stop.set()
            await work
        await workload.create()
        await workload.list_all()
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

    def _keep(self, directory: Path) -> None:
        """Keep the history, the log and the data of a run with violations."""
        kept = self._kept / f"fault-{self.seed}"
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        self._history.save(kept / "history.jsonl")
        shutil.copy(directory / "data.log", kept)
        shutil.copytree(directory / "data", kept / "data")
        faults = ", ".join(name for _, name in self._begun)
        self.result.broken.append(
            f"seed {self.seed}: {faults}\ncheck again: python -m tests.fault.history {kept}/history.jsonl"
        )


def _time_of(violation: Violation) -> float:
    """When the last of its facts began."""
    times = [getattr(fact, "begun", getattr(fact, "time", 0.0)) for fact in violation.facts]
    return max(times, default=float("inf")) or float("inf")
