"""`python -m tests.support.logged_broker FLAGS`: the owner of a log, with a standby in the same process.

The log is in memory, and in a file beside the data directory, so that it outlives the process. The sync mode
is `always`, whatever the flags say, as it has to be in a cluster. After SIGRTMIN the broker compares the
standby's store with the owner's, key by key, and writes the result to a file beside the data directory:
nothing if they agree. It compares them too when it is stopped, and then fails if they differ.
"""

import asyncio
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

import mq9fast.server.process
from mq9fast.__main__ import main
from mq9fast.cluster.follower import Diverged, Follower
from mq9fast.cluster.log import LogError, LogFull
from mq9fast.cluster.log_syncer import LogSyncer
from mq9fast.cluster.replicated_store import ReplicatedStore
from mq9fast.config.settings import Settings
from mq9fast.server.broker import Broker
from mq9fast.storage.store import Store
from tests.support.memory_log import MemoryLog, MemoryRecords
from tests.support.owner import become_owner, rows_of

# Between two looks whether the standby has everything.
POLL_SECONDS = 0.0005


class FileRecords(MemoryRecords):
    """Records that are in a file, too."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b", buffering=0)
        self._file.seek(0)
        data, at = self._file.read(), 0
        while at < len(data):
            size = int.from_bytes(data[at : at + 4], "big")
            if at + 4 + size > len(data):
                break  # it was killed while it wrote this one
            self.records.append(data[at + 4 : at + 4 + size])
            at += 4 + size
        self._size = at
        self._file.truncate(at)

    def try_store(self, record: bytes, expected: int | None) -> int | LogError:
        answer = super().try_store(record, expected)
        if not isinstance(answer, int):
            return answer
        data = len(record).to_bytes(4, "big") + record
        try:
            written = self._file.write(data)
        except OSError:
            written = 0
        if written < len(data):
            self._file.truncate(self._size)
            self.records.pop()
            return LogFull("the disk of the log is full")
        self._size += written
        return answer


class LoggedBroker(Broker):
    """A broker on a replicated store."""

    def __init__(self, settings: Settings, **options: Any) -> None:
        super().__init__(settings, self._open, new_syncer=self._new_syncer, **options)

    def _open(self, path: Path, *, accept_loss: bool, max_files: int) -> Store:
        return self._replica

    def _new_syncer(self, loop: asyncio.AbstractEventLoop, _store: Store) -> LogSyncer:
        return LogSyncer(loop, self._replica, self.health, may_read=lambda: True, lost=self._lost)

    def _lost(self, error: LogError) -> None:
        raise AssertionError("a broker that is alone was deposed") from error

    async def start(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGRTMIN, self._begin_comparing)
        self._replica = ReplicatedStore(self.data_dir, max_files=self.max_tables)
        records = FileRecords(self.data_dir.with_name(f"{self.data_dir.name}.records"))
        self._log = MemoryLog(records)
        epoch = records.last + 1
        try:
            await become_owner(self._log, self._replica, epoch)
        except Diverged:
            # It was killed after a flush and before an append: another node would send a copy.
            self._replica.writer = None
            self._replica.close()
            shutil.rmtree(self.data_dir)
            self._replica = ReplicatedStore(self.data_dir, max_files=self.max_tables)
            await become_owner(self._log, self._replica, epoch + 1)
        copy = self.data_dir.with_name(f"{self.data_dir.name}.standby")
        shutil.rmtree(copy, ignore_errors=True)
        self._standby = ReplicatedStore(copy)
        self._follower = Follower(MemoryLog(records), self._standby)
        self._following = asyncio.create_task(self._follower.run())
        await super().start()

    async def stop(self, *_arguments: Any, **_options: Any) -> None:
        await super().stop(self._check_at_the_end)

    async def _check_at_the_end(self) -> None:
        difference = await self._difference()
        assert not difference, difference

    def _begin_comparing(self) -> None:
        self._comparing = asyncio.create_task(self._compare())

    async def _compare(self) -> None:
        result = await self._difference()
        file = self.data_dir.with_name(f"{self.data_dir.name}.comparing")
        file.write_text(result)
        file.rename(file.with_suffix(".compared"))

    async def _difference(self) -> str:
        writer = self._replica.writer
        assert writer is not None
        while writer.has_unappended or self._log.unanswered_since or self._follower.read < self._log.end():
            if self._following.done():
                return f"the standby has ended: {self._following.exception()!r}"
            await asyncio.sleep(POLL_SECONDS)
        own, copied = rows_of(self._replica), rows_of(self._standby)
        keys = sorted(key for key in own.keys() | copied.keys() if own.get(key) != copied.get(key))
        return f"{len(keys)} rows of the standby differ, such as {keys[:5]}" if keys else ""


def on_log(settings: Settings) -> Settings:
    """The settings with the sync mode of a cluster."""
    return msgspec.structs.replace(settings, sync="always")


def run_on_log(settings: Settings, load: Callable[[], Settings], *arguments: Any) -> int:
    return run(on_log(settings), lambda: on_log(load()), *arguments)


if __name__ == "__main__":
    run = mq9fast.server.process.run
    mq9fast.server.process.run = run_on_log
    mq9fast.server.process.Broker = LoggedBroker  # type: ignore[misc]
    sys.exit(main())
