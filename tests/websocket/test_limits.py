"""Limits and back-pressure over WebSocket."""

import socket
from collections.abc import Callable
from itertools import islice

from tests.support.broker import MEASURED, Broker
from tests.support.machine import kernel_bytes
from tests.support.mailbox import publish_many
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.websocket_client import BINARY, PING, WebWire, frame, is_closed_without_data
from tests.support.wire_client import Wire, read_messages

Start = Callable[..., Broker]
MEGABYTE = 1 << 20


def test_max_connections_counts_clients_of_both_ports(start_broker: Start) -> None:
    broker = start_broker("--ws-port", "0", "--max-connections", "2")
    with Wire(broker.port) as plain, WebWire(broker.ws_port) as web:
        with WebWire(broker.ws_port, None) as refused:
            assert refused.info["port"] == broker.ws_port
            assert refused.closed()
            assert refused.unread == b"-ERR 'maximum connections exceeded'\r\n"
            assert refused.close_code == (1008, "Maximum Connections Exceeded")
        with Wire(broker.port, None) as also_refused:
            assert also_refused.closed()
        plain.ping()
        web.ping()


def test_concurrent_upgrades_are_limited_by_max_connections(start_broker: Start) -> None:
    broker = start_broker("--ws-port", "0", "--max-connections", "100", "--auth-timeout", "600")
    peers = [
        socket.create_connection(("127.0.0.1", broker.ws_port), timeout=WAIT_SECONDS) for _ in range(101)
    ]
    with peers.pop() as last:
        assert is_closed_without_data(last)
    with Wire(broker.port, None) as refused:
        assert refused.closed()
        assert refused.unread == b"-ERR 'maximum connections exceeded'\r\n"
    peers.pop().close()

    def accepted() -> bool:
        try:
            with WebWire(broker.ws_port) as wire:
                wire.ping()
        except (EOFError, ConnectionError):
            return False
        return True

    wait_until(accepted)
    for peer in peers:
        peer.close()


def test_a_huge_frame_costs_no_memory(start_broker: Start) -> None:
    """One frame of 60 MB, whose header says 4 EB: the broker handles its content as it arrives."""
    broker = start_broker("--ws-port", "0")
    with WebWire(broker.ws_port) as wire:
        before = broker.rss_bytes
        wire.frames(frame(BINARY, b"", size=2**62))
        # The frame's key repeats every four bytes, and this is as long.
        piece = frame(BINARY, b"PUB none 984\r\n" + b"x" * 984 + b"\r\n")[8:]
        assert len(piece) % 4 == 0
        for _ in range(60):
            wire.frames(piece * 1000)
        wire.frames(frame(BINARY, b"PING\r\n")[6:])
        assert wire.line(WAIT_SECONDS) == "PONG"
        assert broker.rss_bytes - before < 10 * MEGABYTE


def test_pings_of_a_client_that_does_not_read_cost_no_memory(start_broker: Start) -> None:
    broker = start_broker("--ws-port", "0", "--max-pending", str(MEGABYTE))
    with WebWire(broker.ws_port, receive_bytes=65536) as slow, WebWire(broker.ws_port) as other:
        other.ping()
        before = broker.rss_bytes
        for _ in range(60):
            slow.frames(frame(PING, b"x" * 125) * 8000)
        other.ping(WAIT_SECONDS)
        assert broker.rss_bytes - before < 20 * MEGABYTE
        slow.ping(WAIT_SECONDS)
        assert set(slow.socket.pongs) == {b"x" * 125}


def test_a_slow_mailbox_subscriber_costs_no_memory_and_loses_nothing(
    start_broker: Start,
) -> None:
    broker = start_broker(
        "--ws-port", "0", "--sync", "never", "--max-pending", str(4 * MEGABYTE), env=MEASURED
    )
    count = 150_000
    with WebWire(broker.ws_port, receive_bytes=65536) as slow, Wire(broker.port) as sender:
        sender.create(name="box")
        slow.subscribe("box")
        slow.ping()
        before = broker.rss_bytes
        publish_many(sender, "box", count, b"x" * 1000)
        critical = sender.msg("box.critical", "now")["msg_id"]
        # The store uses a bounded amount of memory.
        assert broker.rss_bytes - before < 100 * MEGABYTE
        order = [message.msg_id for message in islice(read_messages(slow), count + 1)]
        # It overtakes all messages except those in the buffers of the sockets.
        assert order.index(critical) < 10_000
        order.remove(critical)
        assert order == list(range(count))


def test_a_slow_subscriber_of_a_plain_subject_is_disconnected(start_broker: Start) -> None:
    broker = start_broker("--ws-port", "0", "--max-pending", str(MEGABYTE))
    with WebWire(broker.ws_port, receive_bytes=65536) as slow, Wire(broker.port) as sender:
        slow.sub("flood")
        slow.ping()
        for _ in range(kernel_bytes() // MEGABYTE + 4):
            sender.send(b"PUB flood 1000\r\n%s\r\n" % (b"x" * 1000) * 1000)
        sender.ping(WAIT_SECONDS)
        assert slow.closed(WAIT_SECONDS)
        assert slow.unread.endswith(b"-ERR 'Slow Consumer'\r\n")
        assert slow.close_code == (1008, "Slow Consumer (Pending Bytes)")


def test_a_fast_sender_over_websocket_is_stalled(start_broker: Start) -> None:
    """Messages that the subscriber cannot read yet wait in the sender's socket, and none is lost."""
    broker = start_broker("--ws-port", "0", "--max-pending", str(8 * MEGABYTE))
    with Wire(broker.port, receive_bytes=65536) as reader, WebWire(broker.ws_port) as sender:
        reader.sub("flow")
        reader.ping()
        for number in range(5000):
            sender.pub("flow", str(number).rjust(400))
        got = [int(message.payload) for message in islice(read_messages(reader), 5000)]
        assert got == list(range(5000))
