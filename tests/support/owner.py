"""The owner of a replicated log in this process: a real broker on a real store, and what a follower has."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from mq9fast.cluster.follower import Follower
from mq9fast.cluster.log import Log, LogError
from mq9fast.cluster.log_syncer import LogSyncer
from mq9fast.cluster.replicated_store import ReplicatedStore
from mq9fast.cluster.takeover import take_over
from mq9fast.config.settings import Settings
from mq9fast.server.broker import Broker
from mq9fast.storage.layout import LAST_KEY, POSITION_KEY


def rows_of(store: ReplicatedStore) -> dict[bytes, bytes]:
    """Everything that a store has, without its place in the log."""
    return {key: value for key, value in store.scan(b"", LAST_KEY) if key != POSITION_KEY}


@contextlib.asynccontextmanager
async def following(log: Log, store: ReplicatedStore) -> AsyncIterator[Follower]:
    """Follow the log with a store. A failure of the follower ends the block with that failure."""
    follower = Follower(log, store)
    block = asyncio.current_task()
    assert block is not None
    failure: list[BaseException] = []

    def ended(task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            failure.append(error)
            block.cancel()

    task = asyncio.create_task(follower.run())
    task.add_done_callback(ended)
    try:
        yield follower
    except asyncio.CancelledError:
        if failure:
            raise failure[0] from None
        raise
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def become_owner(log: Log, store: ReplicatedStore, epoch: int) -> None:
    """Take the log over with a store, wherever it stands."""
    async with following(log, store) as follower:
        await take_over(log, store, follower, epoch, f"n{epoch}")


async def copy_of(log: Log, path: Path) -> ReplicatedStore:
    """A store that has followed the log from its beginning to its end. The caller closes it."""
    store = ReplicatedStore(path)
    async with following(log, store) as follower:
        await follower.reach(log.end())
    return store


def owner(
    log: Log,
    store: ReplicatedStore,
    *,
    may_read: Callable[[], bool] = lambda: True,
    lost: Callable[[LogError], None] = lambda error: None,
    **settings: Any,
) -> Broker:
    """A broker on a store that has taken the log over, to be started."""
    assert store.writer is not None and store.writer.log is log

    def new_syncer(loop: asyncio.AbstractEventLoop, _store: Any) -> LogSyncer:
        return LogSyncer(loop, store, broker.health, may_read=may_read, lost=lost)

    chosen = Settings(port=0, monitor_port=-1, sync="always", data_dir=str(store.path), **settings)
    broker = Broker(chosen, lambda *_, **__: store, new_syncer=new_syncer)
    return broker
