"""Fuzzes several targets, each in a process, and tells how each process ended."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.fuzzer import Progress, Record

# An input takes milliseconds. One that runs for so long never ends.
HANG_SECONDS = 120.0
LOG_CHARACTERS = 4000


class Outcome(NamedTuple):
    """What became of one target. `problem`: None, or what was found. Then `input` is the file with the
    input, and `log` the end of what the process said."""

    target: str
    progress: Progress | None
    problem: str | None = None
    input: Path | None = None
    log: str = ""


def run_campaign(
    names: Sequence[str],
    seed: int,
    seconds: float,
    findings: Path,
    *,
    jobs: int = 1,
    hang_seconds: float = HANG_SECONDS,
    report: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Fuzz the targets, `jobs` at a time, for `seconds` in all. `findings`: where inputs are kept."""
    findings.mkdir(parents=True, exist_ok=True)
    share = seconds * jobs / len(names)

    def run(name: str) -> Outcome:
        outcome = _run(name, seed, share, findings, hang_seconds)
        report(outcome)
        return outcome

    with ThreadPoolExecutor(jobs) as threads:
        return list(threads.map(run, names))


def _run(name: str, seed: int, seconds: float, findings: Path, hang_seconds: float) -> Outcome:
    short = name.rpartition(":")[2]
    path, log = findings / f"{short}.last", findings / f"{short}.log"
    record = Record(path)
    record.write(0, b"")
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.fuzz.worker", name, str(seed), str(seconds)]
    with log.open("wb") as output:
        process = subprocess.Popen([*command, str(path)], stdout=subprocess.PIPE, stderr=output)
        is_hanging = _watch(process, record, hang_seconds)
    assert process.stdout is not None
    with process.stdout as told:
        numbers = told.read().split()
    said = log.read_text(errors="replace")[-LOG_CHARACTERS:]
    if process.returncode == 0:
        return Outcome(name, Progress(*map(int, numbers)))
    if is_hanging:
        problem = f"an input took more than {hang_seconds:.0f} s"
    else:
        problem = f"ended with {process.returncode}: {(said.splitlines() or [''])[-1]}"
    found = findings / f"{short}-{seed}"
    found.write_bytes(record.read()[1])
    return Outcome(name, None, problem, found, said)


def _watch(process: "subprocess.Popen[bytes]", record: Record, hang_seconds: float) -> bool:
    """Wait for the process. If it hangs, end it with its stacks in the log, and return true."""
    runs, since = -1, time.monotonic()
    while True:
        try:
            process.wait(1)
        except subprocess.TimeoutExpired:
            now = record.read()[0]
            if now != runs:
                runs, since = now, time.monotonic()
            elif runs and time.monotonic() - since > hang_seconds:  # the first input has begun
                process.send_signal(signal.SIGABRT)
                process.wait()
                return True
        else:
            return False
