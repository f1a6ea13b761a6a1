"""`python -m bench.cluster.node owner|standby DIRECTORY URL...`: one node on these nats-servers.

The owner prints its port when it serves. The standby follows; when a line comes on its standard input, it
prints the last record it has applied, how many bytes it has applied since the last line, the CPU seconds of
that, and for each of these records how many more the log had by then.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import uvloop

from mq9fast.cluster.connection import Access
from mq9fast.cluster.follower import Follower
from mq9fast.cluster.jetstream_log import JetStreamLog
from mq9fast.cluster.log import LogError
from mq9fast.cluster.replicated_store import ReplicatedStore
from tests.support.owner import become_owner, owner

STREAM = "BENCH_LOG"
# The lease costs one small publish every half second, which is not measured here.


class SampledLog(JetStreamLog):
    """`behind_each`: for each record that was read, how many more the log had when it was to be applied."""

    behind_each: list[int]

    async def read(self, first: int) -> AsyncIterator[tuple[int, bytes]]:
        self.behind_each = []
        async for record in super().read(first):
            self.behind_each.append(self.behind())
            yield record


async def open_log(urls: list[str]) -> SampledLog:
    log = SampledLog(Access(urls), STREAM)
    await log.connect()
    while True:
        try:
            await log.create()
            return log
        except LogError:
            await asyncio.sleep(0.1)


async def own(directory: Path, urls: list[str]) -> None:
    log, store = await open_log(urls), ReplicatedStore(directory)
    await become_owner(log, store, 1)
    broker = owner(log, store)
    await broker.start()
    print(broker.address[1], flush=True)
    await asyncio.Event().wait()


async def follow(directory: Path, urls: list[str]) -> None:
    log, store = await open_log(urls), ReplicatedStore(directory)
    store.begin_compacting()
    follower = Follower(log, store)
    task = asyncio.create_task(follower.run())
    asked = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(asked), sys.stdin.buffer
    )
    bytes_before, cpu_before = 0, time.process_time()
    while await asked.readline():
        if task.done():
            task.result()
        cpu = time.process_time()
        behind, log.behind_each = log.behind_each, []
        print(follower.read, follower.applied_bytes - bytes_before, cpu - cpu_before, *behind, flush=True)
        bytes_before, cpu_before = follower.applied_bytes, cpu


if __name__ == "__main__":
    role = {"owner": own, "standby": follow}[sys.argv[1]]
    uvloop.run(role(Path(sys.argv[2]), sys.argv[3:]))
