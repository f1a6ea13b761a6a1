"""Workers with an unmodified nats-py: one that is stopped at work, and term()."""

import asyncio
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import nats_py, nats_py_worker
from tests.support.broker import Broker
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire

TASKS = 100
WORK_SECONDS = 0.05
ACK_WAIT_SECONDS = 2
# What a busy machine may add.
SLACK_SECONDS = 1.0


class Event(NamedTuple):
    name: str
    task: str
    at: float


class Worker:
    def __init__(self, url: str, journal: Path) -> None:
        self.journal = journal
        script = str(nats_py_worker.__file__)
        self.process = subprocess.Popen([sys.executable, script, url, "tasks", journal, str(WORK_SECONDS)])

    def end(self) -> None:
        self.process.kill()
        self.process.wait()

    def events(self, *names: str) -> list[Event]:
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        rows = [line.split() for line in lines]
        return [Event(name, task, int(at) / 1e9) for name, task, at in rows if name in names]

    def tasks(self, *names: str) -> list[str]:
        return [event.task for event in self.events(*names)]


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Callable[[Broker], Worker]]:
    workers: list[Worker] = []

    def start(broker: Broker) -> Worker:
        workers.append(Worker(broker.url, tmp_path / f"worker{len(workers)}"))
        return workers[-1]

    yield start
    for worker in workers:
        worker.end()


def test_tasks_of_a_stopped_worker_are_done_by_others(
    start_broker: Callable[..., Broker], start_worker: Callable[[Broker], Worker]
) -> None:
    """Within 3 s with an ack_wait of 2, and each by one living worker at a time. When the stopped worker goes
    on, its late answers are told false. It does not get these tasks again."""
    broker = start_broker("--sync", "interval")
    with Wire(broker.port) as wire:
        wire.create(name="tasks", ack_wait=ACK_WAIT_SECONDS, max_in_flight=3)
        workers = [start_worker(broker) for _ in range(4)]
        stopped, others = workers[0], workers[1:]
        wait_until(lambda: all(worker.events("ready") for worker in workers))
        for n in range(TASKS):
            wire.pub(f"{MAILBOX}MSG.tasks", str(n))
        wire.ping()
        wait_until(lambda: len(stopped.events("true")) >= 3)
        stopped.process.send_signal(signal.SIGSTOP)
        stopped_at = time.monotonic()
        wait_until(lambda: wire.list("tasks", limit=1)["total"] <= 3)
        # Three workers do the rest without waiting for what the stopped one holds.
        work_left = TASKS * WORK_SECONDS / len(others)
        assert time.monotonic() - stopped_at < work_left + SLACK_SECONDS
        wait_until(lambda: wire.list("tasks", limit=1)["total"] == 0)
        assert time.monotonic() - stopped_at < ACK_WAIT_SECONDS + 1 + SLACK_SECONDS
        stopped.process.send_signal(signal.SIGCONT)
        wait_until(lambda: stopped.events("false"))
        # No late answer of it deletes what comes later.
        assert wire.msg("tasks", "later") == {"msg_id": TASKS}
        wait_until(lambda: "later" in [task for worker in workers for task in worker.tasks("true")])
    for worker in workers:
        worker.end()
    done = [task for worker in workers for task in worker.tasks("true")]
    assert sorted(done) == sorted([*(str(n) for n in range(TASKS)), "later"])
    late = set(stopped.tasks("got")) - set(stopped.tasks("true"))
    assert set(stopped.tasks("false")) <= late
    assert 1 <= len(late) <= 3
    assert late <= {task for worker in others for task in worker.tasks("true")}
    check_deliveries(workers, late, stopped_at)


def check_deliveries(workers: list[Worker], late: set[str], stopped_at: float) -> None:
    """Each worker got a task at most once, and no task had two workers but those of the stopped one."""
    got: dict[str, list[float]] = defaultdict(list)
    for worker in workers:
        tasks = worker.tasks("got")
        assert len(tasks) == len(set(tasks))
        for event in worker.events("got"):
            got[event.task].append(event.at)
    for task, times in got.items():
        assert len(times) == (2 if task in late else 1)
        for _, again in pairwise(sorted(times)):
            assert again > stopped_at


def test_term_makes_a_dead_letter(broker: Broker, wire: Wire, address: str) -> None:
    dead = f"{address}.dead"
    wire.create(name=address, dead_letter=dead)
    wire.msg(address, "poison")

    async def run() -> None:
        client = await nats_py.connect(broker.url)
        tasks = await client.subscribe(MAILBOX + "MSG." + address, "workers")
        await (await tasks.next_msg(60)).term()
        await client.close()

    asyncio.run(run())
    wait_until(lambda: wire.list(dead).get("total") == 1)
    (letter,) = wire.list(dead)["messages"]
    assert letter["payload"] == "poison"
    assert letter["headers"] == {
        "Mq9-Dead-From": f"{address}/0",
        "Mq9-Dead-Reason": "terminated",
        "Mq9-Deliveries": "1",
    }
    assert wire.list(address)["total"] == 0
