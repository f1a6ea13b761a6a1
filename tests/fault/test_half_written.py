"""A thousand peers that begin something and stop: each costs what it sent, and is closed as stale."""

from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.support.broker import Broker
from tests.support.mailbox import publish_many
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import Wire, connect_and_send

PEERS = 1000
KIB = 1024
CONNECT = b'CONNECT {"verbose":false,"headers":true}\r\n'
# What a connection costs that says nothing, with room for the allocator's ways.
EACH = 8 * KIB


@pytest.mark.parametrize(
    ("beginning", "most"),
    [
        (b"", EACH),
        (b"CONNECT {", EACH),
        (CONNECT + b"PUB " + b"s" * 4000, EACH + 8 * KIB),
        (CONNECT + b"PUB a 1000000\r\nhello", EACH),
        (CONNECT + b"HPUB a 500000 1000000\r\nNATS/1.0\r\n", EACH),
        (CONNECT + b"PUB a 1000000\r\n" + b"x" * 50_000, EACH + 128 * KIB),
    ],
    ids=["nothing", "CONNECT", "a line", "a payload", "a header", "half of much"],
)
def test_who_stops_half_way_costs_what_it_sent(
    start_broker: Callable[..., Broker], beginning: bytes, most: int
) -> None:
    stale = ("--ping-interval", "4", "--ping-max", "1")
    broker = start_broker(*stale, "--sync", "never", "--monitor-port", "0")
    with Wire(broker.port) as wire:
        # What comes into use with the first load is not to be laid to the peers.
        wire.create(name="box")
        publish_many(wire, "box", 50_000, b"x" * 500)
    before = broker.rss_bytes
    # All but the last leave by themselves: it takes time to be found stale.
    sizes = [size_with_peers(broker, beginning, until_stale=number == 2) for number in range(3)]
    # An announced megabyte is no megabyte, and what those before them had is there for the next.
    assert (max(sizes) - before) / PEERS < most, [(size - before) // PEERS for size in sizes]


def size_with_peers(broker: Broker, beginning: bytes, until_stale: bool) -> int:
    """The broker's memory while they are there; afterwards they are gone."""
    with ExitStack() as stack:
        peers = [stack.enter_context(connect_and_send(broker.port, beginning)) for _ in range(PEERS)]
        wait_until(lambda: broker.metric("mq9fast_connections") == PEERS)
        size = broker.rss_bytes
        for peer in peers if until_stale else ():
            peer.settimeout(WAIT_SECONDS)
            said = b""
            while data := peer.recv(65536):
                said += data
            assert said.endswith(b"PING\r\n-ERR 'Stale Connection'\r\n"), said
    wait_until(lambda: broker.metric("mq9fast_connections") == 0)
    return size
