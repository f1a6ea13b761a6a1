"""A full disk: the broker refuses messages, keeps what is stored, and continues once there is space."""

import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.broker import Broker
from tests.support.load import Subscriber, Writer
from tests.support.mailbox import fill_memtable, read_stored
from tests.support.waiting import START_SECONDS, WAIT_SECONDS, wait_until
from tests.support.wire_client import MAILBOX, Message, Wire

MEGABYTE = 1 << 20
DISK_MEGABYTES = 192
# Of messages that go to the value log, and of messages that stay in RocksDB.
LARGE, SMALL = 60_000, 900
# A little less than RocksDB gathers before it writes a table.
ALMOST_A_MEMTABLE = 28 * MEGABYTE
MAX_LOG_BYTES = 10_000


class Disk:
    """A small file system, which one file can fill."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ballast = path / "ballast"

    def leave_free(self, size: int) -> None:
        """Fill the file system except for about `size` bytes."""
        free = shutil.disk_usage(self.path).free
        with self.ballast.open("ab") as file:
            os.posix_fallocate(file.fileno(), file.tell(), free - size)

    def clear(self) -> None:
        self.ballast.unlink()


def mount(path: Path) -> tuple[Path, Callable[[], object]]:
    """Mount a tmpfs. Returns the path to use, and a function that unmounts it."""
    options = f"size={DISK_MEGABYTES}m"
    if os.geteuid() == 0:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], capture_output=True)
        if done.returncode == 0:
            return path, lambda: subprocess.run(["umount", "--lazy", path], check=True)
    # Without root: a separate mount namespace, which a process keeps alive. Others reach it through /proc.
    script = f'mount -t tmpfs -o {options} tmpfs "$1" && echo ready && exec sleep 600'
    keeper = subprocess.Popen(
        ["unshare", "-rm", "sh", "-c", script, "sh", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert keeper.stdout is not None and keeper.stderr is not None

    def release() -> None:
        keeper.kill()
        keeper.communicate(timeout=WAIT_SECONDS)

    if keeper.stdout.readline() != b"ready\n":
        keeper.wait(WAIT_SECONDS)
        reason = keeper.stderr.read().decode().strip()
        release()
        pytest.skip(f"no small file system to fill: neither mount nor unshare -rm works here ({reason})")
    return Path(f"/proc/{keeper.pid}/root") / path.relative_to("/"), release


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if not shutil.which("unshare") and os.geteuid() != 0:
        pytest.skip("no small file system to fill: not root, and there is no unshare")
    path = tmp_path / "disk"
    path.mkdir()
    seen, release = mount(path)
    yield Disk(seen)
    release()


@pytest.fixture
def broker(disk: Disk, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A broker with its data on the small disk and its log elsewhere."""
    (disk.path / "data").mkdir()
    data_dir = tmp_path / "data"
    data_dir.symlink_to(disk.path / "data")
    mode, min_free = request.param
    broker = Broker(data_dir, "--sync", mode, "--min-free", str(min_free))
    yield broker
    broker.end()


def send_until_refused(wire: Wire, address: str, payload_bytes: int) -> dict[int, bytes]:
    """Send messages until one is refused. Returns the acknowledged ones by id."""
    chance = random.Random(address)
    stored = {}
    for _ in range(DISK_MEGABYTES * MEGABYTE // payload_bytes):
        payload = chance.randbytes(payload_bytes)
        answer = wire.msg(address, payload)
        if answer.get("code") == "store_unavailable":
            return stored
        stored[answer["msg_id"]] = payload
    raise AssertionError("the disk did not fill up")


def is_unavailable(answer: dict[str, object]) -> bool:
    return answer.get("code") == "store_unavailable" and bool(answer.get("error"))


# With 2 MiB the log does not fit; with 12 MiB the first table that RocksDB writes does not.
@pytest.mark.parametrize(
    ("broker", "payload_bytes", "before", "free_megabytes", "file"),
    [
        (("always", 0), LARGE, 0, 16, r"values-\d+\.seg"),
        (("always", 0), SMALL, 0, 2, r"\d+\.log"),
        (("interval", 0), SMALL, ALMOST_A_MEMTABLE, 12, r"\d+\.(log|sst)"),
    ],
    indirect=["broker"],
    ids=["value-log", "log", "table"],
)
def test_full_disk_refuses_messages_until_there_is_space(
    broker: Broker, disk: Disk, payload_bytes: int, before: int, free_megabytes: int, file: str
) -> None:
    with Wire(broker.port) as wire:
        for address in ("full", "held"):
            wire.create(name=address)
        wire.create(name="short", ttl=1)
        assert wire.msg("held", "task") == {"msg_id": 0}
        fill_memtable(wire, before)
        disk.leave_free(free_megabytes * MEGABYTE)
        stored = send_until_refused(wire, "full", payload_bytes)
        assert len(stored) > 100

        # Every request that writes gets an error.
        for _ in range(200):
            assert is_unavailable(wire.msg("full", b"x" * payload_bytes))
        assert is_unavailable(wire.create(name="another"))
        assert is_unavailable(wire.delete("held", 0))
        assert wire.msg("another")["code"] == "mailbox_not_found"

        # LIST, new subscribers and queue groups can still read everything.
        assert read_stored(broker.port, "full") == stored
        assert wire.list("full", limit=1)["total"] == len(stored)
        wire.sub(f"{MAILBOX}MSG.held", "held", queue="workers")
        assert wire.message().payload == b"task"

        # Plain subjects do not need the store.
        wire.sub("plain", "plain")
        wire.pub("plain", "still here")
        assert wire.message().payload == b"still here"

        disk.clear()
        wait_until(lambda: "msg_id" in wire.msg("held", "again"))
        new_id = wire.msg("full", b"new")["msg_id"]
        assert new_id > max(stored)
        stored[new_id] = b"new"
        assert wire.delete("held", 0) == {"deleted": True}
        wait_until(lambda: wire.list("short").get("code") == "mailbox_not_found")

    assert read_stored(broker.port, "full") == stored
    broker.restart(kill=True)
    assert read_stored(broker.port, "full") == stored
    log = broker.log.read_text()
    assert re.search(rf"No space left on device: .*{file}", log)
    assert len(log) < MAX_LOG_BYTES, log


class PersistentWriter(Writer):
    """A writer that counts refused requests and continues."""

    refused = 0

    def _record(self, reply: Message) -> None:
        if is_unavailable(reply.json):
            self.refused += 1
            self._sends.pop(reply.subject, None)
            self._deletes.pop(reply.subject, None)
            time.sleep(0.0005)
        else:
            super()._record(reply)


@pytest.mark.parametrize("broker", [("always", 0)], indirect=True)
def test_concurrent_writers_lose_nothing_on_a_full_disk(broker: Broker, disk: Disk) -> None:
    addresses = ["one", "two"]
    with Wire(broker.port) as wire:
        for address in addresses:
            wire.create(name=address)
    disk.leave_free(6 * MEGABYTE)
    writers = [PersistentWriter(broker.port, f"w{n}", addresses, seed=n) for n in range(4)]
    subscriber = Subscriber(broker.port, addresses)
    for thread in (subscriber, *writers):
        thread.start()
    # With a replicated log each message is written twice.
    wait_until(lambda: all(writer.refused for writer in writers), START_SECONDS)
    disk.clear()
    before = [len(writer.acknowledged) for writer in writers]
    wait_until(
        lambda: all(len(w.acknowledged) > count + 100 for w, count in zip(writers, before, strict=True))
    )
    broker.kill()
    for thread in (subscriber, *writers):
        thread.join(WAIT_SECONDS)
    broker.start()
    stored = {
        (address, msg_id): payload
        for address in addresses
        for msg_id, payload in read_stored(broker.port, address).items()
    }
    acknowledged: dict[tuple[str, int], bytes] = {}
    for writer in writers:
        assert not writer.errors, writer.errors
        assert not acknowledged.keys() & writer.acknowledged.keys()
        acknowledged |= writer.acknowledged
        assert not writer.deleted & stored.keys()
    maybe_deleted = set().union(*(writer.maybe_deleted for writer in writers))
    for confirmed in (acknowledged, subscriber.received):
        assert not {
            key
            for key, payload in confirmed.items()
            if key not in maybe_deleted and stored.get(key) != payload
        }
    assert len(broker.log.read_text()) < MAX_LOG_BYTES


@pytest.mark.parametrize("broker", [("always", 64 * MEGABYTE)], indirect=True)
def test_below_min_free_messages_are_refused_but_deletions_work(broker: Broker, disk: Disk) -> None:
    with Wire(broker.port) as wire:
        wire.create(name="floor")
        assert wire.msg("floor", "kept") == {"msg_id": 0}
        disk.leave_free(63 * MEGABYTE)
        wait_until(lambda: is_unavailable(wire.msg("floor", "refused")))
        assert wire.create(name="floor.other")["is_new"]
        assert wire.list("floor")["messages"][0]["payload"] == "kept"
        assert wire.delete("floor", 0) == {"deleted": True}
        assert is_unavailable(wire.msg("floor", "still refused"))
        disk.clear()
        wait_until(lambda: "msg_id" in wire.msg("floor", "taken again"))
    log = broker.log.read_text()
    assert "messages are refused" in log
    assert "messages are accepted again" in log


@pytest.mark.parametrize("payload_bytes", [LARGE, SMALL], ids=["large", "small"])
@pytest.mark.parametrize("broker", [("always", 0), ("interval", 0)], indirect=True)
def test_broker_stops_on_a_full_disk_and_starts_after_it_was_cleared(
    broker: Broker, disk: Disk, payload_bytes: int
) -> None:
    with Wire(broker.port) as wire:
        wire.create(name="full")
        disk.leave_free(8 * MEGABYTE)
        stored = send_until_refused(wire, "full", payload_bytes)
    assert broker.stop() == 0
    # A start on the full disk fails with one sentence.
    done = subprocess.run(
        [sys.executable, "-m", "mq9fast", *broker.flags],
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )
    assert done.returncode == 1
    assert re.fullmatch(r"mq9fast: .*No space left on device.*\n", done.stderr), done.stderr
    disk.clear()
    broker.start()
    assert read_stored(broker.port, "full") == stored
    with Wire(broker.port) as wire:
        assert wire.msg("full", "again")["msg_id"] > max(stored)
