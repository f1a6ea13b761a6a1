"""Storage fails once or for a while. The broker keeps what it acknowledged, drops what it refused, and
recovers by itself."""

import errno
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.broker import Broker
from tests.support.faults.shim import Rule, Shim
from tests.support.load import Subscriber
from tests.support.mailbox import list_all, publish_many, read_stored
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import MAILBOX, Message, Wire, read_messages

ADDRESSES = ("one", "two")
MODES = ("always", "interval", "never")


@pytest.fixture
def start(tmp_path: Path, shim: Shim) -> Iterator[Callable[..., Broker]]:
    brokers = []

    def start(*flags: str) -> Broker:
        broker = Broker(tmp_path / "data", "--monitor-port", "0", "--min-free", "0", *flags, env=shim.env)
        brokers.append(broker)
        return broker

    yield start
    for broker in brokers:
        broker.end()


class Sender(threading.Thread):
    """Sends different messages, WINDOW at a time, and records the reply to each."""

    WINDOW = 32

    def __init__(self, port: int, name: str, payload_bytes: int) -> None:
        super().__init__(name=name)
        self.port = port
        self.filling = b"x" * payload_bytes
        self.acknowledged: dict[tuple[str, int], bytes] = {}
        self.refused: set[bytes] = set()
        self.errors: list[object] = []
        self.ended = False
        self._unanswered: dict[str, tuple[str, bytes]] = {}
        self._sent = 0

    def run(self) -> None:
        try:
            with Wire(self.port) as wire:
                wire.send(f"SUB {self.name}.* 1\r\n")
                answers = read_messages(wire)
                while self._unanswered or not self.ended:
                    while len(self._unanswered) < self.WINDOW and not self.ended:
                        self._send(wire)
                    self._record(next(answers))
        except (OSError, EOFError) as error:
            if not self.ended:
                self.errors.append(error)
        except BaseException as error:
            self.errors.append(error)
            raise

    def _send(self, wire: Wire) -> None:
        self._sent += 1
        reply = f"{self.name}.{self._sent}"
        address = ADDRESSES[self._sent % 2]
        payload = f"{reply} ".encode() + self.filling
        self._unanswered[reply] = (address, payload)
        wire.pub(f"{MAILBOX}MSG.{address}{('', '.urgent', '.critical')[self._sent % 3]}", payload, reply)

    def _record(self, answer: Message) -> None:
        address, payload = self._unanswered.pop(answer.subject)
        if answer.json.get("code") == "store_unavailable":
            self.refused.add(payload)
            time.sleep(0.001)
            return
        key = (address, answer.json["msg_id"])
        assert key not in self.acknowledged, key
        self.acknowledged[key] = payload

    def finish(self) -> None:
        self.ended = True
        self.join(WAIT_SECONDS)
        assert not self.is_alive()
        assert not self.errors, self.errors


class Load:
    """Two senders and a subscriber."""

    def __init__(self, broker: Broker, payload_bytes: int = 100) -> None:
        self.broker = broker
        with Wire(broker.port) as wire:
            for address in ADDRESSES:
                wire.create(name=address)
        self.senders = [Sender(broker.port, f"s{n}", payload_bytes) for n in range(2)]
        self.subscriber = Subscriber(broker.port, list(ADDRESSES))
        for thread in (self.subscriber, *self.senders):
            thread.start()
        self.wait_until_accepted()

    def wait_until_accepted(self) -> None:
        """Wait until the broker acknowledges further messages of every sender."""
        before = [len(sender.acknowledged) for sender in self.senders]
        wait_until(
            lambda: all(
                len(sender.acknowledged) > count + 50
                for sender, count in zip(self.senders, before, strict=True)
            )
        )

    def wait_until_refused(self) -> None:
        """Wait until the broker has refused a message."""
        wait_until(lambda: any(sender.refused for sender in self.senders))

    def check(self) -> None:
        """Check that exactly the acknowledged messages are stored, before and after a kill."""
        for sender in self.senders:
            sender.finish()
        acknowledged = self.senders[0].acknowledged | self.senders[1].acknowledged
        refused = self.senders[0].refused | self.senders[1].refused
        assert refused
        for _ in range(2):
            for address in ADDRESSES:
                wanted = {msg_id: payload for (at, msg_id), payload in acknowledged.items() if at == address}
                assert read_stored(self.broker.port, address) == wanted
                with Wire(self.broker.port) as wire:
                    assert wire.list(address, limit=1)["total"] == len(wanted)
                    assert list_all(wire, address) == {key: text.decode() for key, text in wanted.items()}
            wait_until(lambda: len(self.subscriber.received) >= len(acknowledged))
            assert self.subscriber.received == acknowledged
            assert not refused & set(self.subscriber.received.values())
            self.broker.restart(kill=True)
        wait_until(lambda: "the store accepts writes" in self.broker.log.read_text())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("call", "pattern", "error"),
    [
        ("write", "*.log", errno.EIO),
        ("write", "*.log", errno.ENOSPC),
        ("fsync", "*.log", errno.EIO),
        ("write", "*/mq9fast.state", errno.EIO),
    ],
    ids=["write-eio", "write-enospc", "fsync-eio", "state-eio"],
)
def test_broker_recovers_from_one_failure_of_the_log_or_state_file(
    start: Callable[..., Broker], shim: Shim, call: str, pattern: str, error: int, mode: str
) -> None:
    if (call, mode) == ("fsync", "never"):
        pytest.skip("there are no fsyncs")
    broker = start("--sync", mode, "--sync-interval", "0.05")
    load = Load(broker)
    with shim.failing(call, pattern, error, most=1) as rule:
        wait_until(lambda: rule.seen > 0)
        load.wait_until_refused()
    load.wait_until_accepted()
    wait_until(lambda: not broker.health)
    load.check()
    if (call, mode) == ("fsync", "always"):
        line = "stored rows of refused messages"
        wait_until(lambda: line in broker.log.read_text())


# RocksDB flushes a table after 32 MiB of messages.
@pytest.mark.parametrize("mode", ["always", "never"])
@pytest.mark.parametrize(
    ("call", "pattern", "error"),
    [("write", "*.sst", errno.EIO), ("fsync", "*.sst", errno.EIO), ("open", "*.sst", errno.EMFILE)],
    ids=["write-eio", "fsync-eio", "open-emfile"],
)
def test_broker_recovers_from_one_failure_of_a_flush(
    start: Callable[..., Broker], shim: Shim, call: str, pattern: str, error: int, mode: str
) -> None:
    broker = start("--sync", mode)
    load = Load(broker, 20_000)
    with shim.failing(call, pattern, error, most=1) as rule:
        wait_until(lambda: rule.seen > 0)
        load.wait_until_refused()
    load.wait_until_accepted()
    wait_until(lambda: not broker.health)
    load.check()


def test_broker_recovers_after_storage_failed_for_a_while(start: Callable[..., Broker], shim: Shim) -> None:
    """Writing and opening fail: stored messages stay readable, and the broker recovers without a restart."""
    broker = start()
    load = Load(broker)
    rules: list[Rule] = [shim.fail(call, "*/data/*", errno.EIO) for call in ("write", "fsync", "open")]
    load.wait_until_refused()
    # Long enough for two attempts to reopen the store, which fail.
    time.sleep(2.5)
    assert "the store does not accept writes" in broker.health
    with Wire(broker.port) as wire:
        assert wire.list("one", limit=1)["messages"]
        assert wire.create(name="three")["code"] == "store_unavailable"
    for rule in rules:
        rule.end()
    load.wait_until_accepted()
    wait_until(lambda: not broker.health)
    load.check()


def test_clients_are_served_while_the_store_is_reopened(start: Callable[..., Broker], shim: Shim) -> None:
    broker = start("--sync", "never")
    with Wire(broker.port) as wire, Wire(broker.port) as other:
        wire.create(name="box")
        publish_many(wire, "box", 100, b"x" * 100_000, 10)
        stored = wire.list("box", limit=1)["total"]
        slow, seconds, longest = shim.fail("fsync", "*.sst", wait=4.0, most=1), 4.0, 0.0
        with shim.failing("write", "*.log", errno.EIO, most=1):
            assert wire.msg("box", "refused")["code"] == "store_unavailable"
        while not slow.seen or "code" in wire.create(name="box"):
            began = time.monotonic()
            other.ping()
            longest = max(longest, time.monotonic() - began)
            time.sleep(0.01)
        assert longest < seconds / 2
        assert wire.list("box", limit=1)["total"] == stored == 100


def test_failed_background_flush_is_noticed_without_a_write(start: Callable[..., Broker], shim: Shim) -> None:
    broker = start("--sync", "never")
    with Wire(broker.port) as wire:
        wire.create(name="box")
        # The broker flushes memtables after two seconds without a write.
        publish_many(wire, "box", 100, b"x" * 100_000, 10)
        with shim.failing("write", "*.sst", errno.EIO, most=1) as rule:
            wait_until(lambda: rule.seen > 0)
            wait_until(lambda: "the store does not accept writes" in broker.health)
        wait_until(lambda: not broker.health)
        assert "msg_id" in wire.msg("box", "again")


@pytest.mark.parametrize("mode", MODES)
def test_broker_recovers_when_its_directory_comes_back(
    start: Callable[..., Broker], tmp_path: Path, mode: str
) -> None:
    broker = start("--sync", mode)
    load = Load(broker)
    data, moved = tmp_path / "data", tmp_path / "elsewhere"
    data.rename(moved)
    load.wait_until_refused()
    wait_until(lambda: "gone" in broker.health)
    # The broker does not use an empty directory in its place.
    data.mkdir()
    # Long enough for one attempt to reopen the store, which fails.
    time.sleep(1.5)
    assert "another directory" in broker.health
    assert not any(data.iterdir())
    data.rmdir()
    moved.rename(data)
    load.wait_until_accepted()
    wait_until(lambda: not broker.health)
    load.check()


@pytest.mark.parametrize("what", ["*", "*.log", "CURRENT"])
def test_messages_are_refused_after_files_were_deleted(
    start: Callable[..., Broker], tmp_path: Path, what: str
) -> None:
    broker = start()
    with Wire(broker.port) as wire:
        wire.create(name="box")
        assert wire.msg("box", "first") == {"msg_id": 0}
        for path in (tmp_path / "data").glob(what):
            path.unlink()
        for _ in range(10):
            assert wire.msg("box", "lost").get("code") == "store_unavailable"
        wait_until(lambda: "deleted from the data directory" in broker.health)
    wait_until(lambda: "messages are refused: the store does not accept writes" in broker.log.read_text())


@pytest.mark.parametrize(
    ("call", "pattern"),
    [("write", "*/data/*"), ("fsync", "*/data/*"), ("open", "*/data/*"), ("read", "*.sst")],
)
def test_broker_with_failing_storage_stops(
    start: Callable[..., Broker], shim: Shim, call: str, pattern: str
) -> None:
    broker = start()
    load = Load(broker)
    with shim.failing(call, pattern, errno.EIO), shim.failing("write", "*.log", errno.EIO, skip=50, most=1):
        load.wait_until_refused()
        # Meanwhile the broker tries to reopen the store.
        time.sleep(1.2)
        began = time.monotonic()
        for sender in load.senders:
            sender.ended = True
        assert broker.stop() == 0
        assert time.monotonic() - began < WAIT_SECONDS / 3
