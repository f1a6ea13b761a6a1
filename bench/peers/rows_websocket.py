"""Plain subjects over WebSocket: mq9fast and nats-server, with the same frames, one message in each."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from bench.peers.comparison import RATE, Comparison, Figure, Lap, Row, Side
from bench.peers.exchange import FramedBytes, Source, exchange
from bench.peers.nats import NatsServer, delivered_bytes, pub
from bench.peers.payloads import payload
from bench.peers.servers import Mq9fast, Server, Setup
from tests.support.ports import free_port
from tests.support.websocket_client import BINARY, WebWire, frame

CLIENTS = 100
NATS = "nats-server"


def websocket_port(server: Server) -> int:
    return (
        server.broker.ws_port if isinstance(server, Mq9fast) else int((server.place / "ws_port").read_text())
    )


def start_nats_server(place: Path) -> NatsServer:
    port = free_port()
    place.mkdir(parents=True, exist_ok=True)
    (place / "ws_port").write_text(str(port))
    return NatsServer(place, [f"websocket {{ listen: '127.0.0.1:{port}', no_tls: true }}"])


def publish(server: Server, *, row: str, count: int, size: int, senders: int = 1) -> Mapping[str, Figure]:
    """`senders` publish on one subject, each message in a frame of its own, to one receiver."""
    port = websocket_port(server)
    wires = [WebWire(port, {"verbose": False}) for _ in range(senders)]
    for wire in wires:
        wire.ping()
    reader = WebWire(port)
    reader.sub("bench")
    reader.ping()
    frames = [frame(BINARY, pub("bench", payload(size)))]
    sources = [Source(wire.socket.raw, frames, count // senders) for wire in wires]
    received = FramedBytes(reader.socket.raw, count * delivered_bytes("bench", "1", size))
    with Lap(server) as lap:
        exchange(sources, [received])
    return {row: lap.rate(count)}


def comparisons(scale: float) -> list[Comparison]:
    def count(full: int) -> int:
        return max(1, round(full * scale / 10_000)) * 10_000

    def against_nats(row: str, ratio: float, work) -> Comparison:  # type: ignore[no-untyped-def]
        doing = partial(work, row=row)
        sides = [
            Side(Setup("mq9fast", "--ws-port", lambda place: Mq9fast(place, "--ws-port", "0")), doing),
            Side(Setup(NATS, "websocket, no_tls", start_nats_server), doing),
        ]
        return Comparison([Row(row, RATE, {NATS: ratio})], sides)

    from_all = partial(publish, count=count(5_000_000), size=16, senders=CLIENTS)
    return [
        against_nats("WebSocket, 1 → 1, 16 B", 3.0, partial(publish, count=count(5_000_000), size=16)),
        against_nats(f"WebSocket, {CLIENTS} → 1, 16 B", 3.0, from_all),
        against_nats("WebSocket, 1 → 1, 16 KiB", 1.5, partial(publish, count=count(100_000), size=16 << 10)),
    ]
