"""Timers of the commit pipeline: at most one of each is pending, and none after the pipeline is closed."""

import asyncio
from pathlib import Path

from mq9fast.config.settings import Settings
from mq9fast.server.broker import Broker
from mq9fast.timer import Timer
from tests.support.faults.store import Faults
from tests.support.wire_client import MAILBOX


async def start_and_stop() -> None:
    calls: list[int] = []
    timer = Timer(lambda: calls.append(1))
    for _ in range(3):
        timer.start(0)
    await asyncio.sleep(0.01)
    assert calls == [1]
    timer.start(0)
    timer.stop()
    timer.start(0)
    await asyncio.sleep(0.01)
    assert calls == [1]


def test_timer_is_pending_once_and_never_after_stop() -> None:
    asyncio.run(start_and_stop())


def pending_timers(loop: asyncio.AbstractEventLoop) -> int:
    """The number of timers of a loop that are not cancelled."""
    return sum(not timer.cancelled() for timer in loop._scheduled)  # type: ignore[attr-defined]


async def stall_writes(directory: Path) -> None:
    faults = Faults()
    settings = Settings(data_dir=str(directory), port=0, monitor_port=-1, sync="never")
    broker = Broker(settings, faults.open)
    await broker.start()
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.address[1])
    writer.write(b'CONNECT {"verbose":false}\r\nPING\r\n')
    await reader.readuntil(b"PONG\r\n")
    before = pending_timers(loop)
    faults.write_stalled = True
    writer.write(f"PUB {MAILBOX}CREATE 2\r\n{{}}\r\nPING\r\n".encode())
    await reader.readuntil(b"PONG\r\n")
    for _ in range(50):
        broker.engine.pending_work.schedule_end()
        await asyncio.sleep(0)
    assert pending_timers(loop) <= before + 1
    writer.close()
    await broker.stop()
    broker.engine.pending_work.schedule_end()
    await asyncio.sleep(0)
    assert pending_timers(loop) == 0


def test_write_stall_has_one_timer_and_none_after_the_stop(tmp_path: Path) -> None:
    asyncio.run(stall_writes(tmp_path / "data"))
