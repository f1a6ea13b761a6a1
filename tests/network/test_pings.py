"""When the broker pings a client: as nats-server does."""

import time
from collections.abc import Callable

import pytest

from tests.support.broker import Broker
from tests.support.monitoring import monitor_port, read
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import Wire

Start = Callable[..., Broker]
INTERVAL_SECONDS = 0.3


def answer_pings(wire: Wire, answer: bytes = b"") -> int:
    """Read the PINGs that have arrived and reply `answer` to each. Returns their number."""
    try:
        wire.receive(0.001)
    except TimeoutError:
        return 0
    count = wire.unread.count(b"PING\r\n")
    del wire.unread[:]
    wire.send(answer * count)
    return count


def test_connz_pings_no_client_before_its_first_ping(start_broker: Start) -> None:
    """After CONNECT and PING a client library expects PONG next. CONNECT and PING may arrive separately."""
    broker = start_broker("--monitor-port", "0")
    port = monitor_port(broker)
    with Wire(broker.port, {"lang": "go"}) as wire, Wire(broker.port) as other:
        wait_until(lambda: any(it.get("lang") for it in read(port, "/connz")["connections"]))
        for _ in range(20):
            read(port, "/connz")
        wire.send("PING\r\n")
        assert wire.line() == "PONG"
        assert not wire.unread
        read(port, "/connz")
        assert wire.line() == "PING"
        wire.send("PONG\r\n")
        wire.ping()
        assert any(it.get("rtt") for it in read(port, f"/connz?cid={wire.info['client_id']}")["connections"])
        other.ping()


def test_first_ping_comes_after_two_seconds_or_a_pong(start_broker: Start) -> None:
    broker = start_broker("--ping-interval", "0.1", "--ping-max", "1000")
    began = time.monotonic()
    with Wire(broker.port) as quiet:
        assert quiet.line() == "PING"
        assert time.monotonic() - began >= 1.9
    with Wire(broker.port) as wire:
        wire.send("PONG\r\n")
        assert wire.line() == "PING"


def test_answering_a_ping_does_not_delay_the_next(start_broker: Start) -> None:
    broker = start_broker("--ping-interval", str(INTERVAL_SECONDS), "--ping-max", "1000")
    with Wire(broker.port) as answering, Wire(broker.port) as silent:
        for wire in (answering, silent):
            wire.ping()
        answered = ignored = 0
        deadline = time.monotonic() + WAIT_SECONDS
        while ignored < 8:
            assert time.monotonic() < deadline
            answered += answer_pings(answering, b"PONG\r\n")
            ignored += answer_pings(silent)
        answered += answer_pings(answering)
        assert answered >= 7


@pytest.mark.parametrize("line", ["PING\r\n", "PUB a 0\r\n\r\n", "SUB a 1\r\nUNSUB 1\r\n"])
def test_active_client_is_pinged_once_for_its_round_trip(start_broker: Start, line: str) -> None:
    broker = start_broker("--ping-interval", str(INTERVAL_SECONDS), "--ping-max", "1000")
    with Wire(broker.port) as busy, Wire(broker.port) as silent:
        for wire in (busy, silent):
            wire.ping()
        seen = ignored = pauses = 0
        sent = time.monotonic()
        deadline = sent + WAIT_SECONDS
        while ignored < 8:
            busy.send(line)
            now = time.monotonic()
            # If this test itself paused, the broker saw no activity in that time.
            pauses += now - sent > INTERVAL_SECONDS / 2
            sent = now
            seen += answer_pings(busy)
            ignored += answer_pings(silent)
            assert now < deadline
        assert 1 <= seen <= 1 + 2 * pauses
