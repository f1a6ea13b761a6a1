"""Every feature at once: what is copied while clients work, and what a killed broker leaves, is sound."""

import asyncio
from pathlib import Path

import pytest

from mq9fast.maintenance.check import check_directory
from mq9fast.maintenance.report import Report
from mq9fast.maintenance.salvage import salvage
from mq9fast.storage.checkpoint import checkpoint
from tests.fault.harness.workload import Workload
from tests.fault.history.history import History
from tests.support.broker import Broker

PHASES = 2
COPIES_IN_A_PHASE = 3
WORK_SECONDS = 0.4


def problems(report: Report) -> list[str]:
    return [problem.sentence for problem in report.problems]


async def work_and_copy(workload: Workload, broker: Broker, copies: Path) -> None:
    """One phase: the clients work, the directory is copied again and again, and the broker is killed."""
    await workload.create()
    stop = asyncio.Event()
    clients = asyncio.create_task(workload.work(stop))
    for number in range(COPIES_IN_A_PHASE):
        await asyncio.sleep(WORK_SECONDS)
        await asyncio.to_thread(checkpoint, broker.data_dir, copies / str(number))
    await asyncio.to_thread(broker.kill)
    stop.set()
    await clients


@pytest.mark.parametrize("sync", ["always", "never"])
def test_copies_and_killed_directories_are_sound(tmp_path: Path, sync: str) -> None:
    broker = Broker(tmp_path / "data", "--sync", sync)
    workload = Workload(History(), lambda: [broker.url], seed=sync)
    for phase in range(PHASES):
        copies = tmp_path / f"copies{phase}"
        copies.mkdir()
        asyncio.run(work_and_copy(workload, broker, copies))
        report = check_directory(broker.data_dir)
        assert not problems(report)
        for copy in copies.iterdir():
            assert not problems(check_directory(copy))
        broker.start()
    broker.end()
    assert report.holds.messages > 100
    salvaged = salvage(broker.data_dir, tmp_path / "salvaged")
    assert not salvaged.damage and not salvaged.lost
    report = check_directory(tmp_path / "salvaged")
    assert not problems(report) and report.holds == check_directory(broker.data_dir).holds
