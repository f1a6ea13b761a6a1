"""Under `always` nothing leaves the broker before its fsync, and an fsync that fails costs nothing else."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mq9fast.config.settings import Settings
from mq9fast.server.broker import Broker
from tests.support.faults.store import Faults
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import MAILBOX, Wire


class Disk:
    """A broker in a thread of this process, on a store with `faults`."""

    def __init__(self, path: Path) -> None:
        self.faults = Faults()
        self._path = path
        self._serving = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        assert self._serving.wait(WAIT_SECONDS)

    async def _run(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        settings = Settings(port=0, monitor_port=-1, data_dir=str(self._path))
        broker = Broker(settings, self.faults.open)
        await broker.start()
        self.port = broker.address[1]
        self._serving.set()
        await self._ended.wait()
        await broker.stop()

    def end(self) -> None:
        self.faults.may_sync.set()
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(WAIT_SECONDS)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path / "data")
    yield disk
    disk.end()


def test_nothing_leaves_before_the_fsync(disk: Disk) -> None:
    with Wire(disk.port) as sender, Wire(disk.port) as reader, Wire(disk.port) as worker:
        sender.create(name="a")
        sender.msg("a", "first")
        reader.subscribe("a")
        worker.subscribe("a", queue="workers")
        assert reader.message().payload == worker.message().payload == b"first"

        disk.faults.may_sync.clear()
        sender.sub("answers")
        sender.pub(MAILBOX + "MSG.a", "second", "answers")
        sender.pub(MAILBOX + "DELETE.a.0", "", "answers")
        sender.ping()
        # These come in while the fsync runs: another turn's, that waits for its own.
        sender.pub(MAILBOX + "MSG.a.critical", "third", "answers")
        sender.pub(MAILBOX + "CREATE", '{"name": "b"}', "answers")
        sender.pub(MAILBOX + "LIST.a", "", "answers")
        sender.ping()
        with Wire(disk.port) as late:
            late.subscribe("a")
            late.ping()
            assert sender.silent(0.3)
            assert reader.silent(0.05)
            assert worker.silent(0.05)
            assert all(message.payload == b"first" for message in late.received) and late.silent(0.05)

            disk.faults.may_sync.set()
            bodies = [message.json for message in sender.messages(5)]
            assert {"msg_id": 1} in bodies
            assert {"msg_id": 2} in bodies
            assert {"deleted": True} in bodies
            assert {"mail_address": "b", "is_new": True} in bodies
            for follower in (reader, worker, late):
                assert sorted(message.payload for message in follower.messages(2)) == [b"second", b"third"]


def heal(wire: Wire, address: str) -> None:
    """Wait until the store takes writes again."""
    wait_until(lambda: wire.create(name=address).get("is_new") is False)


def test_what_came_during_an_fsync_that_fails_is_refused_and_gone(disk: Disk) -> None:
    with Wire(disk.port) as wire:
        wire.create(name="a")
        disk.faults.may_sync.clear()
        disk.faults.failing_syncs = 1
        wire.sub("answers")
        wire.pub(MAILBOX + "MSG.a", "refused", "answers")
        wire.ping()
        assert wire.silent(0.1)
        wire.pub(MAILBOX + "MSG.a.urgent", "refused too", "answers")
        wire.ping()
        assert wire.silent(0.1)
        disk.faults.may_sync.set()
        assert [each.json["code"] for each in wire.messages(2)] == ["store_unavailable"] * 2
        # Both are in the store, but nobody sees them, before the store takes writes again and after.
        assert wire.list("a") == {"mail_address": "a", "total": 0, "messages": []}
        heal(wire, "a")
        assert wire.list("a")["total"] == 0
        assert wire.msg("a", "kept") == {"msg_id": 2}
        wire.subscribe("a", "2")
        assert wire.message().payload == b"kept"
        assert wire.silent(0.1)
        assert wire.list("a", limit=1)["total"] == 1


def test_a_message_whose_deletion_fails_amid_its_fsync_is_pushed(disk: Disk) -> None:
    with Wire(disk.port) as wire, Wire(disk.port) as reader:
        wire.create(name="a")
        reader.subscribe("a")
        reader.ping()
        disk.faults.may_sync.clear()
        wire.sub("answers")
        for payload in ("first", "second"):
            wire.pub(MAILBOX + "MSG.a", payload, "answers")
        wire.ping()
        assert wire.silent(0.1)
        disk.faults.failing_writes = 1
        wire.pub(MAILBOX + "DELETE.a.0", "", "answers")
        wire.ping()
        disk.faults.may_sync.set()
        answers = [each.json for each in wire.messages(3)]
        assert [each.get("code") for each in answers].count("store_unavailable") == 1
        assert {"msg_id": 0} in answers and {"msg_id": 1} in answers
        assert [each.payload for each in reader.messages(2)] == [b"first", b"second"]
        heal(wire, "a")
        assert wire.list("a")["total"] == 2
        assert wire.delete("a", 0) == {"deleted": True}


@pytest.mark.parametrize("count", [1, 3], ids=["all that came together", "some of it"])
def test_what_a_worker_answered_before_an_fsync_that_fails(disk: Disk, count: int) -> None:
    """The store has the deletions, though nobody was promised them: none is made twice or undone."""
    with Wire(disk.port) as wire, Wire(disk.port) as worker, Wire(disk.port) as other:
        wire.create(name="a")
        wire.send("".join(f"PUB {MAILBOX}MSG.a 1\r\n{n}\r\n" for n in range(count + 2)))
        worker.sub("answers", "9")
        worker.subscribe("a", queue="workers")
        assert len(worker.messages(count + 2)) == count + 2
        disk.faults.may_sync.clear()
        disk.faults.failing_syncs = 1
        worker.send("".join(f"PUB {MAILBOX}DELETE.a.{n} answers 0\r\n\r\n" for n in range(count)))
        worker.ping()
        assert worker.silent(0.1)
        disk.faults.may_sync.set()
        assert [each.json["code"] for each in worker.messages(count)] == ["store_unavailable"] * count
        heal(wire, "a")
        left = [{"msg_id": n, "payload": str(n)} for n in range(count, count + 2)]
        for _ in range(2):
            for n in range(count):
                assert wire.delete("a", n) == {"deleted": False}
            listed = wire.list("a")
            assert listed["total"] == 2
            assert [{"msg_id": m["msg_id"], "payload": m["payload"]} for m in listed["messages"]] == left
        other.subscribe("a", queue="workers")
        other.ping()
        worker.close()
        assert [message.payload for message in other.messages(2)] == [
            b"%d" % n for n in range(count, count + 2)
        ]
        assert other.silent(0.1)
        for n in range(count, count + 2):
            assert wire.delete("a", n) == {"deleted": True}
        assert wire.list("a")["total"] == 0
