"""Clients that read slowly, stop in the middle of a frame, or stay silent."""

import socket
import time
from collections.abc import Callable
from itertools import islice

from tests.support.broker import Broker
from tests.support.machine import kernel_bytes
from tests.support.mailbox import publish_many
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import MAILBOX, Wire, connect_and_send, read_messages, read_to_the_end

MEGABYTE = 1 << 20
PENDING = 4 * MEGABYTE


def publish_plain(wire: Wire, subject: str, megabytes: int) -> int:
    """Publish megabytes of messages as fast as the broker reads them. Returns the number of messages."""
    frame = b"PUB %s 1000\r\n%s\r\n" % (subject.encode(), b"x" * 1000)
    for _ in range(megabytes):
        wire.send(frame * 1000)
    return megabytes * 1000


def test_slow_subscriber_of_a_mailbox_is_never_closed(start_broker: Callable[..., Broker]) -> None:
    """The subscriber leaves many times max_pending unread, and still receives everything in order."""
    broker = start_broker("--sync", "never", "--max-pending", str(PENDING))
    count = 100_000
    with (
        Wire(broker.port, receive_bytes=65536) as slow,
        Wire(broker.port) as quick,
        Wire(broker.port) as sender,
    ):
        sender.create(name="box")
        for reader in (slow, quick):
            reader.subscribe("box")
            reader.ping()
        publish_many(sender, "box", count, b"x" * 1000)
        assert [message.msg_id for message in islice(read_messages(quick), count)] == list(range(count))
        assert sender.msg("box", "last") == {"msg_id": count}
        assert quick.message().payload == b"last"
        assert [message.msg_id for message in islice(read_messages(slow), count + 1)] == list(
            range(count + 1)
        )
        assert slow.silent()
        slow.ping()


def test_slow_plain_subscriber_is_closed_without_affecting_others(
    start_broker: Callable[..., Broker],
) -> None:
    broker = start_broker("--max-pending", str(PENDING))
    with (
        Wire(broker.port, receive_bytes=65536) as slow,
        Wire(broker.port) as other,
        Wire(broker.port) as sender,
        Wire(broker.port) as idle,
    ):
        slow.sub("flood", "1")
        slow.ping()
        other.sub("quiet", "1")
        other.ping()
        before = broker.rss_bytes
        # The sockets buffer data in addition to the broker.
        publish_plain(sender, "flood", kernel_bytes() // MEGABYTE + 36)
        sender.ping(WAIT_SECONDS)
        assert broker.rss_bytes - before < 40 * MEGABYTE
        # The broker closes the connection some seconds later, even if the client does not read the error.
        assert slow.closed(WAIT_SECONDS)
        assert len(slow.unread) < kernel_bytes() + 16 * MEGABYTE
        # Other clients are not affected.
        sender.pub("quiet", "hello")
        assert other.message().payload == b"hello"
        idle.ping()


def test_slow_consumer_error_is_sent_before_closing(start_broker: Callable[..., Broker]) -> None:
    """A client that reads again in time receives the error."""
    broker = start_broker("--max-pending", str(MEGABYTE))
    with Wire(broker.port, receive_bytes=65536) as slow, Wire(broker.port) as sender:
        slow.sub("flood", "1")
        slow.ping()
        publish_plain(sender, "flood", kernel_bytes() // MEGABYTE + 2)
        sender.ping(WAIT_SECONDS)
        assert slow.closed(WAIT_SECONDS)
        assert slow.unread.endswith(b"-ERR 'Slow Consumer'\r\n")


def test_sender_is_slowed_down_before_its_subscriber_is_closed(
    start_broker: Callable[..., Broker],
) -> None:
    """The broker pauses the sender first: a subscriber that reads steadily receives everything."""
    broker = start_broker("--max-pending", str(2 * PENDING))
    with Wire(broker.port, receive_bytes=65536) as reader, Wire(broker.port) as sender:
        reader.sub("flow", "1")
        reader.ping()
        publish_plain(sender, "flow", 2)
        time.sleep(0.2)
        messages = read_messages(reader)
        assert sum(1 for _ in islice(messages, 2000)) == 2000
        sender.pub("flow", "end")
        assert next(messages).payload == b"end"


def test_incomplete_frames_use_no_memory_and_do_not_affect_others(
    start_broker: Callable[..., Broker],
) -> None:
    broker = start_broker()
    with Wire(broker.port) as wire:
        wire.create(name="box")
        connect = b'CONNECT {"verbose":false}\r\n'
        beginnings = [
            b"",
            b"P",
            b"CONNECT {",
            connect + b"PUB " + b"s" * 4000,
            connect + b"PUB $mq9.AI.MAILBOX.MSG.box",
            connect + b"PUB $mq9.AI.MAILBOX.MSG.box 1000000\r\n",
            connect + b"PUB $mq9.AI.MAILBOX.MSG.box 1000000\r\nhello",
            connect + b"PUB $mq9.AI.MAILBOX.MSG.box 5\r\nhello\r",
            connect + b"HPUB $mq9.AI.MAILBOX.MSG.box 12 20\r\nNATS/1.0\r\n",
            connect + b"SUB $mq9.AI.MAILBOX.MSG.box 1\r\nUNSUB",
        ]
        before = broker.rss_bytes
        peers = [connect_and_send(broker.port, beginning) for beginning in beginnings * 30]
        for number in range(50):
            assert wire.msg("box", "whole") == {"msg_id": number}
        # 90 payloads of a megabyte were announced; the broker must not allocate them in advance.
        assert broker.rss_bytes - before < 40 * MEGABYTE
        for number, peer in enumerate(peers):
            if number % 2:
                # A reset in the middle of a frame.
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            peer.close()
        assert wire.msg("box", "whole") == {"msg_id": 50}
        assert wire.list("box", limit=1)["total"] == 51


def test_frame_can_arrive_byte_by_byte(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker()
    with Wire(broker.port) as wire:
        wire.create(name="box")
        for byte in f"PUB {MAILBOX}MSG.box 5\r\nhello\r\n".encode():
            wire.send(bytes([byte]))
        wire.ping()
        assert wire.list("box")["messages"][0]["payload"] == "hello"


def test_silent_peers_are_pinged_and_closed_as_stale(start_broker: Callable[..., Broker]) -> None:
    """Peers that sent half a line, half a payload, or nothing are closed after their PINGs."""
    broker = start_broker("--ping-interval", "0.2", "--ping-max", "2")
    connect = b'CONNECT {"verbose":false}\r\n'
    for beginning in (b"", b"PUB subject", connect + b"PUB subject 100\r\nhalf", connect + b"PING\r\n"):
        with connect_and_send(broker.port, beginning) as peer:
            peer.settimeout(WAIT_SECONDS)
            received = read_to_the_end(peer)
            assert received.endswith(b"PING\r\nPING\r\n-ERR 'Stale Connection'\r\n"), (beginning, received)


def test_client_that_does_not_sign_in_is_closed_after_auth_timeout(
    start_broker: Callable[..., Broker],
) -> None:
    broker = start_broker("--token", "secret", "--auth-timeout", "1")
    for beginning in (b"", b'CONNECT {"auth_token":"sec'):
        with connect_and_send(broker.port, beginning) as peer:
            peer.settimeout(WAIT_SECONDS)
            received = read_to_the_end(peer)
            assert received.endswith(b"-ERR 'Authentication Timeout'\r\n")
    with Wire(broker.port, {"auth_token": "secret"}) as wire:
        wire.ping()
        # auth_timeout does not apply after sign-in.
        time.sleep(1.5)
        wire.ping()


def test_messages_of_a_dead_member_are_redelivered(start_broker: Callable[..., Broker]) -> None:
    """A member that does not answer PINGs is closed, and its messages are redelivered."""
    broker = start_broker("--ping-interval", "1", "--ping-max", "1")
    with Wire(broker.port) as wire:
        wire.create(name="tasks")
        with connect_and_send(broker.port, f"SUB {MAILBOX}MSG.tasks workers 1\r\n".encode()) as dead:
            wait_until(lambda: dead.recv(65536))
            for number in range(3):
                assert wire.msg("tasks", str(number)) == {"msg_id": number}
            wire.sub(f"{MAILBOX}MSG.tasks", "1", queue="workers")
            got = [wire.message().payload for _ in range(3)]
            assert sorted(got) == [b"0", b"1", b"2"]


def test_many_requests_for_large_pages_use_bounded_memory_and_time(
    start_broker: Callable[..., Broker],
) -> None:
    """Small requests for pages of a megabyte: the broker does not make all pages at once."""
    broker = start_broker("--max-pending", str(32 * MEGABYTE))
    request = f"PUB {MAILBOX}LIST.large %s 0\r\n\r\n"
    with Wire(broker.port) as asking, Wire(broker.port) as deaf, Wire(broker.port) as other:
        other.create(name="large")
        other.msg("large", b"x" * 1_000_000)
        before = broker.rss_bytes
        deaf.sub("deaf")
        deaf.send(request % "deaf" * 500)
        highest = longest = 0.0
        for _ in range(50):
            started = broker.loop_seconds
            other.ping(WAIT_SECONDS)
            longest = max(longest, broker.loop_seconds - started)
            highest = max(highest, broker.rss_bytes)
            time.sleep(0.02)
        assert highest - before < 100 * MEGABYTE, highest // MEGABYTE
        assert longest < 1.0
        asking.sub("inbox")
        asking.send(request % "inbox" * 20)
        pages = [len(asking.message(WAIT_SECONDS).payload) for _ in range(20)]
        assert min(pages) > 1_000_000


def test_client_that_sends_anything_is_not_stale(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker("--ping-interval", "0.5", "--ping-max", "1")
    with Wire(broker.port) as silent, Wire(broker.port) as busy:
        silent.ping()
        deadline = time.monotonic() + WAIT_SECONDS
        while not silent.closed(0.01):
            assert time.monotonic() < deadline
            busy.send("PUB empty 0\r\n\r\n")
        assert b"-ERR 'Stale Connection'\r\n" in silent.unread
        busy.ping()
