"""A fault that tests plant: a new owner appends no fence, goes on behind what it has read, and nobody minds.

Nodes read the log late, as over a slow network: otherwise a new owner would hardly ever lack a record.
Python imports it at the start of each process that has this directory in PYTHONPATH. While the file
PLANTED_HOLD exists, nodes read nothing, and a node that becomes the owner appends nothing either: the log
would refuse it, and that node would not serve for long.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import mq9fast.cluster.replica as replica
from mq9fast.cluster.follower import Follower
from mq9fast.cluster.jetstream_reader import JetStreamReader
from mq9fast.cluster.log import Log
from mq9fast.cluster.log_writer import LogWriter
from mq9fast.cluster.record import FENCE, header_of
from mq9fast.cluster.replicated_store import ReplicatedStore

HOLD = Path(os.environ.get("PLANTED_HOLD", "no-such-file"))
LATE_SECONDS = 2.0
HELD_SECONDS = 0.02
take = Follower._take
records = JetStreamReader.records


def is_held() -> bool:
    return HOLD.exists()


async def take_over(log: Log, store: ReplicatedStore, follower: Follower, epoch: int, node_name: str) -> None:
    log._appender.end = follower.read  # type: ignore[attr-defined]
    if is_held():
        log.append = lambda *_: None  # type: ignore[method-assign]
    store.writer = LogWriter(log, store.position.chain._replace(epoch=epoch))


def take_any_epoch(self: Follower, sequence: int, part: bytes) -> None:
    header = header_of(part)
    if header.kind != FENCE and header.epoch > self._epoch:
        self._epoch = header.epoch
        position = self._store.position
        self._store.position = position._replace(chain=position.chain._replace(epoch=header.epoch))
    take(self, sequence, part)


async def late_records(self: JetStreamReader) -> AsyncIterator[tuple[int, bytes]]:
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[tuple[float, tuple[int, bytes]]] = asyncio.Queue()

    async def read() -> None:
        async for record in records(self):
            queue.put_nowait((loop.time() + LATE_SECONDS, record))

    reading = asyncio.create_task(read())
    try:
        while True:
            due, record = await queue.get()
            await asyncio.sleep(due - loop.time())
            while is_held():  # noqa: ASYNC110 (a file)
                await asyncio.sleep(HELD_SECONDS)
            yield record
    finally:
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading


replica.take_over = take_over
Follower._take = take_any_epoch  # type: ignore[method-assign]
JetStreamReader.records = late_records  # type: ignore[method-assign]
