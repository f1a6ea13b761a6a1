"""When the broker pings a client, as nats-server does."""

import time
from collections.abc import Callable

import pytest

from tests.support.broker import Broker
from tests.support.monitoring import monitor_port, read
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import Wire

Start = Callable[..., Broker]
INTERVAL_SECONDS = 0.3


def pings(wire: Wire, answer: bytes = b"") -> int:
    """Take the PINGs that are there, and `answer` each; the number of them."""
    try:
        wire.receive(0.001)
    except TimeoutError:
        return 0
    count = wire.unread.count(b"PING\r\n")
    del wire.unread[:]
    wire.send(answer * count)
    return count


def test_connz_pings_no_client_before_its_first_ping(start_broker: Start) -> None:
    """A client library reads PONG next after its CONNECT and PING, which may come in two segments."""
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


def test_the_timer_leaves_a_new_client_two_seconds_for_its_first_ping(start_broker: Start) -> None:
    broker = start_broker("--ping-interval", "0.1", "--ping-max", "1000")
    began = time.monotonic()
    with Wire(broker.port) as quiet:
        assert quiet.line() == "PING"
        assert time.monotonic() - began >= 1.9
    with Wire(broker.port) as wire:
        wire.send("PONG\r\n")
        assert wire.line() == "PING"


def test_a_client_that_answers_is_pinged_as_often_as_one_that_does_not(start_broker: Start) -> None:
    broker = start_broker("--ping-interval", str(INTERVAL_SECONDS), "--ping-max", "1000")
    with Wire(broker.port) as answering, Wire(broker.port) as silent:
        for wire in (answering, silent):
            wire.ping()
        answered = ignored = 0
        deadline = time.monotonic() + WAIT_SECONDS
        while ignored < 8:
            assert time.monotonic() < deadline
            answered += pings(answering, b"PONG\r\n")
            ignored += pings(silent)
        answered += pings(answering)
        assert answered >= 7


@pytest.mark.parametrize("says", ["PING\r\n", "PUB a 0\r\n\r\n", "SUB a 1\r\nUNSUB 1\r\n"])
def test_a_client_that_does_something_is_pinged_once_for_its_round_trip(
    start_broker: Start, says: str
) -> None:
    broker = start_broker("--ping-interval", str(INTERVAL_SECONDS), "--ping-max", "1000")
    with Wire(broker.port) as busy, Wire(broker.port) as silent:
        for wire in (busy, silent):
            wire.ping()
        told = ignored = pauses = 0
        sent = time.monotonic()
        deadline = sent + WAIT_SECONDS
        while ignored < 8:
            busy.send(says)
            now = time.monotonic()
            # A pause of this test, not of the broker, may be one without a sign of life.
            pauses += now - sent > INTERVAL_SECONDS / 2
            sent = now
            told += pings(busy)
            ignored += pings(silent)
            assert now < deadline
        assert 1 <= told <= 1 + 2 * pauses
