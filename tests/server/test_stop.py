"""Stopping a broker: what it finishes first, and the lame duck mode."""

import json
import signal
import socket
import threading
import time
from collections.abc import Callable

import pytest

from tests.support.broker import Broker
from tests.support.load import Subscriber, Writer
from tests.support.mailbox import publish_many, read_stored
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import MAILBOX, Wire


def refuses_connections(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("sync", ["always", "never"])
def test_stop_during_load_loses_nothing_acknowledged(
    start_broker: Callable[..., Broker], sign: int, sync: str
) -> None:
    broker = start_broker("--sync", sync)
    with Wire(broker.port) as wire:
        wire.create(name="box")
    writers = [Writer(broker.port, f"w{n}", ["box"], seed=n) for n in range(3)]
    subscriber = Subscriber(broker.port, ["box"])
    threads = [subscriber, *writers]
    for thread in threads:
        thread.start()
    wait_until(lambda: all(writer.acknowledged for writer in writers))
    time.sleep(0.3)
    assert broker.stop(sign) == 0
    for thread in threads:
        thread.join(WAIT_SECONDS)
        assert not thread.is_alive()
    broker.start()
    stored = read_stored(broker.port, "box")
    for writer in writers:
        assert not writer.errors, writer.errors
        assert writer.acknowledged
        for (_, msg_id), payload in writer.acknowledged.items():
            assert stored.get(msg_id) == payload or ("box", msg_id) in writer.maybe_deleted
        assert not {msg_id for _, msg_id in writer.deleted} & stored.keys()
    maybe_deleted = {msg_id for writer in writers for _, msg_id in writer.maybe_deleted}
    assert {msg_id for _, msg_id in subscriber.received} <= stored.keys() | maybe_deleted


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_stop_stores_and_answers_everything_it_has_read(
    start_broker: Callable[..., Broker], sign: int
) -> None:
    broker = start_broker("--sync", "always")
    count = 20_000
    with Wire(broker.port) as wire:
        wire.create(name="box")
        wire.sub("answers", "1")
        publish_many(wire, "box", count, b"x" * 100)
        wire.pub(f"{MAILBOX}MSG.box", "last", reply="answers")
        # PONG confirms that the broker has read it. The broker sends the reply once the message is durable.
        wire.send("PING\r\n")
        while b"PONG\r\n" not in wire.unread:
            wire.receive(WAIT_SECONDS)
        answers = wire.unread.count(b"msg_id")
        status = []
        ending = threading.Thread(target=lambda: status.append(broker.stop(sign)))
        ending.start()
        assert wire.closed()
        ending.join(WAIT_SECONDS)
        assert status == [0]
        assert wire.unread.count(b'{"msg_id":%d}' % count) == 1 >= answers
    broker.start()
    stored = read_stored(broker.port, "box")
    assert len(stored) == count + 1
    assert stored[count] == b"last"


def test_stopped_broker_refuses_connections_and_can_start_again(
    start_broker: Callable[..., Broker],
) -> None:
    broker = start_broker()
    port = broker.port
    with Wire(port) as wire:
        assert broker.stop() == 0
        assert wire.closed()
    assert refuses_connections(port)
    for _ in range(2):
        broker.flags = ("--port", str(port), *broker.flags[2:])
        broker.start()
        assert broker.port == port
        # After a kill with open connections, the port and the directory are free at once.
        with Wire(port) as wire:
            wire.ping()
            broker.kill()
    broker.start()


def test_stop_ends_in_spite_of_a_client_that_does_not_read(
    start_broker: Callable[..., Broker],
) -> None:
    broker = start_broker("--sync", "never")
    with Wire(broker.port, receive_bytes=65536) as stuck, Wire(broker.port) as wire:
        wire.create(name="box")
        stuck.subscribe("box")
        publish_many(wire, "box", 50_000, b"x" * 1000)
        assert broker.stop() == 0


def test_second_interrupt_ends_the_broker_at_once(start_broker: Callable[..., Broker]) -> None:
    """After the first SIGINT the broker waits for a client that does not read; the second ends it."""
    broker = start_broker("--sync", "never")
    with Wire(broker.port, receive_bytes=65536) as stuck, Wire(broker.port) as wire:
        wire.create(name="box")
        stuck.subscribe("box")
        publish_many(wire, "box", 50_000, b"x" * 1000)
        broker.process.send_signal(signal.SIGINT)
        assert wire.closed()
        assert broker.process.poll() is None
        broker.process.send_signal(signal.SIGINT)
        assert broker.process.wait(WAIT_SECONDS) == 1
        broker._close_output()
    broker.start()
    assert len(read_stored(broker.port, "box")) == 50_000


def test_lame_duck_notifies_clients_and_closes_them_one_by_one(
    start_broker: Callable[..., Broker],
) -> None:
    broker = start_broker("--lame-duck-duration", "4", "--sync", "never")
    clients = [Wire(broker.port) for _ in range(4)]
    try:
        for client in clients:
            assert not client.info.get("ldm")
            client.ping()
        broker.process.send_signal(signal.SIGUSR2)
        for client in clients:
            assert json.loads(client.line().removeprefix("INFO "))["ldm"] is True
        # The broker still serves its clients, but refuses new connections.
        clients[-1].create(name="late")
        assert clients[-1].msg("late", "hello") == {"msg_id": 0}
        assert refuses_connections(broker.port)
        ends = []
        for client in clients:
            assert client.closed()
            ends.append(time.monotonic())
            assert client.unread.endswith(b"-ERR 'Server Shutdown'\r\n")
        assert ends[-1] - ends[0] > 0.5
        assert broker.process.wait(WAIT_SECONDS) == 0
        broker._close_output()
    finally:
        for client in clients:
            client.close()
    broker.start()
    assert read_stored(broker.port, "late") == {0: b"hello"}


def test_lame_duck_without_clients_ends_at_once(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker("--lame-duck-duration", "0")
    assert broker.stop(signal.SIGUSR2) == 0
