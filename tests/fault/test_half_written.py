"""A thousand peers send part of a frame and stop: each costs what it sent, and is closed as stale."""

from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.support.broker import Broker
from tests.support.mailbox import publish_many
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import Wire, connect_and_send, read_to_the_end

PEERS = 1000
KIB = 1024
CONNECT = b'CONNECT {"verbose":false,"headers":true}\r\n'
# Memory of a connection that sends nothing, with a margin for the allocator.
BYTES_PER_PEER = 8 * KIB


@pytest.mark.parametrize(
    ("beginning", "most"),
    [
        (b"", BYTES_PER_PEER),
        (b"CONNECT {", BYTES_PER_PEER),
        (CONNECT + b"PUB " + b"s" * 4000, BYTES_PER_PEER + 8 * KIB),
        (CONNECT + b"PUB a 1000000\r\nhello", BYTES_PER_PEER),
        (CONNECT + b"HPUB a 500000 1000000\r\nNATS/1.0\r\n", BYTES_PER_PEER),
        (CONNECT + b"PUB a 1000000\r\n" + b"x" * 50_000, BYTES_PER_PEER + 128 * KIB),
    ],
    ids=["nothing", "CONNECT", "a line", "a payload", "a header", "half of much"],
)
def test_peer_that_stops_mid_frame_costs_only_what_it_sent(
    start_broker: Callable[..., Broker], beginning: bytes, most: int
) -> None:
    stale = ("--ping-interval", "4", "--ping-max", "1")
    broker = start_broker(*stale, "--sync", "never", "--monitor-port", "0")
    with Wire(broker.port) as wire:
        # Allocate what the first load needs, so that it does not count as memory of the peers.
        wire.create(name="box")
        publish_many(wire, "box", 50_000, b"x" * 500)
    before = broker.rss_bytes
    # Only in the last round do the peers wait until they are stale, which takes time.
    sizes = [rss_with_peers(broker, beginning, until_stale=number == 2) for number in range(3)]
    # Memory follows what was sent, not what was announced. The next peers reuse it.
    assert (max(sizes) - before) / PEERS < most, [(size - before) // PEERS for size in sizes]


def rss_with_peers(broker: Broker, beginning: bytes, until_stale: bool) -> int:
    """The broker's memory while the peers are connected. On return they are closed."""
    with ExitStack() as stack:
        peers = [stack.enter_context(connect_and_send(broker.port, beginning)) for _ in range(PEERS)]
        wait_until(lambda: broker.metric("mq9fast_connections") == PEERS)
        size = broker.rss_bytes
        for peer in peers if until_stale else ():
            peer.settimeout(WAIT_SECONDS)
            received = read_to_the_end(peer)
            assert received.endswith(b"PING\r\n-ERR 'Stale Connection'\r\n"), received
    wait_until(lambda: broker.metric("mq9fast_connections") == 0)
    return size
