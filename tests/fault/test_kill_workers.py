"""Workers of a queue group are killed at work: every task is done, and running workers never share one."""

import itertools
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import queue_worker
from tests.support.broker import Broker
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import MAILBOX, Wire

WORKERS = 20
KILLS = 20
KILL_EVERY_SECONDS = 0.15
WORK_SECONDS = 0.004
TASKS = 12_000
# The time in which the workers must have done all tasks.
DRAIN_SECONDS = 300.0
SCRIPT = Path(queue_worker.__file__)


class Worker:
    def __init__(self, port: int, address: str, journal: Path) -> None:
        self.journal = journal
        self.killed_ns = 0
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", SCRIPT, str(port), address, journal, str(WORK_SECONDS)]
        )

    def kill(self) -> None:
        self.killed_ns = time.monotonic_ns()
        self.process.kill()
        self.process.wait(WAIT_SECONDS)

    def ready(self) -> bool:
        return self.journal.exists() and "ready" in self.journal.read_text()

    def events(self) -> list[tuple[str, int, int]]:
        """(event, id, time) of every complete line of the journal, which `queue_worker` describes."""
        lines = self.journal.read_text().splitlines(keepends=True) if self.journal.exists() else []
        rows = [line.split() for line in lines if line.endswith("\n")]
        return [(event, int(msg_id), int(at)) for event, msg_id, at in rows if event != "ready"]


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Callable[[int, str], Worker]]:
    workers: list[Worker] = []

    def start(port: int, address: str) -> Worker:
        workers.append(Worker(port, address, tmp_path / f"worker{len(workers)}"))
        return workers[-1]

    yield start
    for worker in workers:
        if worker.process.poll() is None:
            worker.kill()


def send_tasks(wire: Wire, address: str) -> None:
    ranks = ["", "", ".urgent", ".critical"]
    for start in range(0, TASKS, 1000):
        wire.send(
            "".join(
                f"PUB {MAILBOX}MSG.{address}{ranks[n % 4]} 5\r\n{n:05}\r\n"
                for n in range(start, start + 1000)
            )
        )
    wire.ping(WAIT_SECONDS)


def count_redeliveries(workers: list[Worker]) -> int:
    """How many tasks went to another worker, which is allowed only after the one before was killed."""
    deliveries = defaultdict(list)
    deleted = set()
    for worker in workers:
        for event, msg_id, at in worker.events():
            if event == "got":
                deliveries[msg_id].append((at, worker))
            elif event == "deleted":
                deleted.add((msg_id, worker))
    redelivered = 0
    for msg_id, receivers in deliveries.items():
        receivers.sort(key=lambda one: one[0])
        for (_, before), (at, _) in itertools.pairwise(receivers):
            assert before.killed_ns, f"task {msg_id} went to two workers, and the first one still runs"
            assert before.killed_ns < at, f"task {msg_id} went to two workers at once"
            assert (msg_id, before) not in deleted, f"task {msg_id} came again after it was deleted"
            redelivered += 1
    return redelivered


def test_killed_workers_lose_no_task_and_no_task_runs_twice_at_once(
    start_broker: Callable[..., Broker], start_worker: Callable[[int, str], Worker]
) -> None:
    chance = random.Random("workers")
    broker = start_broker("--sync", "interval")
    with Wire(broker.port) as wire:
        wire.create(name="tasks")
        workers = [start_worker(broker.port, "tasks") for _ in range(WORKERS)]
        wait_until(lambda: all(worker.ready() for worker in workers))
        send_tasks(wire, "tasks")
        running = list(workers)
        for _ in range(KILLS):
            time.sleep(KILL_EVERY_SECONDS)
            running.pop(chance.randrange(len(running))).kill()
            running.append(start_worker(broker.port, "tasks"))
            workers.append(running[-1])
        wait_until(lambda: wire.list("tasks", limit=1)["total"] == 0, DRAIN_SECONDS)
    done = {msg_id for worker in workers for event, msg_id, _ in worker.events() if event == "done"}
    assert done == set(range(TASKS))
    assert count_redeliveries(workers) > 0
    assert any(event == "done" for worker in workers[WORKERS:] for event, _, _ in worker.events())
