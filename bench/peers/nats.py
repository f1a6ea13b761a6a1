"""The NATS protocol as bytes, and the two ways to store messages with it: mailboxes and JetStream."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.peers.exchange import Marks, Sink, Source, Window, exchange
from bench.peers.servers import Server, Setup
from tests.support.wire_client import MAILBOX, Wire

ACKS = b"acks"
# The last byte of a JSON reply.
END = b"}"
# JetStream refuses more than 10,000 by default. With a higher limit it becomes slower.
JETSTREAM_WINDOW = 4000
NATS_SERVER = Path(__file__).parents[2] / ".venv" / "bin" / "nats-server"


def pub(subject: str, body: bytes, reply: bytes = b"") -> bytes:
    return b"PUB %s %s%d\r\n%s\r\n" % (subject.encode(), reply and reply + b" ", len(body), body)


def hpub(subject: str, header: bytes, body: bytes, reply: bytes = b"") -> bytes:
    """A publish with one header line; without `header`, as `pub`."""
    if not header:
        return pub(subject, body, reply)
    block = b"NATS/1.0\r\n%s\r\n\r\n" % header
    sizes = b"%d %d" % (len(block), len(block) + len(body))
    return b"HPUB %s %s%s\r\n%s%s\r\n" % (subject.encode(), reply and reply + b" ", sizes, block, body)


def delivered_bytes(subject: str, sid: str, size: int) -> int:
    return len(f"MSG {subject} {sid} {size}\r\n") + size + 2


class NatsServer(Server):
    """nats-server with the lines of a configuration. `{place}` in them stands for its directory. `replicas`:
    of its streams."""

    replicas = 1

    def __init__(self, place: Path, lines: Sequence[str] = ()) -> None:
        self.lines = lines
        super().__init__(place)

    def command(self) -> list[str]:
        config = self.place / "nats.conf"
        lines = [f"listen: 127.0.0.1:{self.port}", *self.lines]
        config.write_text("\n".join(lines).replace("{place}", str(self.place)))
        return [str(NATS_SERVER), "-c", str(config)]


NATS = Setup("nats-server", "defaults", NatsServer)


def jetstream(sync_interval: str = "", *more: str) -> Setup:
    """File storage, one replica. A slow subscriber stays connected when 64 MiB wait for it. `more`: lines of
    its configuration."""
    lines = ["store_dir: '{place}/data'", "max_file_store: 32GB"]
    if sync_interval:
        lines.append(f"sync_interval: {sync_interval}")
    settings = f"file, R1, sync_interval {sync_interval or '2m (default)'}"
    text = "jetstream {\n" + "\n".join(lines) + "\n}"
    return Setup("JetStream", settings, lambda place: NatsServer(place, [text, "max_pending: 1GB", *more]))


class Mailboxes:
    """Messages stored by mq9fast: one mailbox per name."""

    subject = MAILBOX + "MSG."
    window = 0

    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    def make(self, names: Sequence[str]) -> None:
        requests = [pub(MAILBOX + "CREATE", b'{"name":"%s"}' % each.encode(), b"made") for each in names]
        self.wire.sub("made", "made")
        self.wire.ping()
        exchange([Source(self.wire.socket, requests)], [Marks(self.wire.socket, END, len(requests))])

    def stored(self, names: Sequence[str]) -> int:
        return sum(int(self.wire.list(name, limit=1)["total"]) for name in names)


class Stream:
    """Messages stored by JetStream: one stream, one subject per name."""

    subject = "js."
    name = "BENCH"
    window = JETSTREAM_WINDOW

    def __init__(self, wire: Wire, replicas: int = 1) -> None:
        self.wire = wire
        self.replicas = replicas

    def make(self, names: Sequence[str] = (), **config: Any) -> None:
        self.call(
            f"STREAM.CREATE.{self.name}",
            {
                "name": self.name,
                "subjects": ["js.>"],
                "storage": "file",
                "num_replicas": self.replicas,
                **config,
            },
        )

    def stored(self, names: Sequence[str] = ()) -> int:
        """Return the number of messages in the whole stream."""
        return int(self.call(f"STREAM.INFO.{self.name}")["state"]["messages"])

    def consumer(self, config: dict[str, Any]) -> None:
        name = config.get("durable_name", "")
        verb = f"CONSUMER.DURABLE.CREATE.{self.name}.{name}" if name else f"CONSUMER.CREATE.{self.name}"
        self.call(verb, {"stream_name": self.name, "config": {"deliver_policy": "all", **config}})

    def unacknowledged(self, consumer: str) -> int:
        """Return the number of messages without an acknowledgement, delivered or not."""
        info = self.call(f"CONSUMER.INFO.{self.name}.{consumer}")
        return int(info["num_pending"]) + int(info["num_ack_pending"])

    def last(self, name: str) -> None:
        """Read the last message of a name."""
        self.call(f"STREAM.MSG.GET.{self.name}", {"last_by_subj": self.subject + name})

    def call(self, verb: str, request: Any = None) -> Any:
        answer = self.wire.request(f"$JS.API.{verb}", json.dumps(request) if request else b"").json
        if "error" in answer:
            raise RuntimeError(f"{verb}: {answer['error']}")
        return answer


Keeper = Mailboxes | Stream


def keeper(server: Server, wire: Wire) -> Keeper:
    return Stream(wire, server.replicas) if isinstance(server, NatsServer) else Mailboxes(wire)


def acknowledged(
    wire: Wire,
    kept: Keeper,
    names: Sequence[str],
    bodies: Sequence[bytes],
    times: int = 1,
    connections: int = 1,
    window: int = 0,
) -> tuple[list[Source], list[Sink]]:
    """Return what sends to each of the names in turn, `times` over, and what waits for the replies.

    It sends the bodies in turn. `times` must be a multiple of their number. `window`: the most messages that
    wait for their replies; 0: as many as the server takes best, with mq9fast as many as TCP takes.
    """
    laps, rest = divmod(times, len(bodies))
    if rest:
        raise ValueError(f"{times} is not a multiple of {len(bodies)} bodies")
    inbox = inbox_of(wire)
    frames = [pub(kept.subject + name, body, inbox) for body in bodies for name in names]
    return pipelined(wire, kept, frames, laps, connections, window)


def inbox_of(wire: Wire) -> bytes:
    """The reply subject of the frames that `pipelined` sends."""
    return f"acks.{id(wire)}".encode()


def pipelined(
    wire: Wire, kept: Keeper, frames: Sequence[bytes], laps: int = 1, connections: int = 1, window: int = 0
) -> tuple[list[Source], list[Sink]]:
    """Return what sends the frames, `laps` over, and what waits for the replies. `window` as above."""
    wire.sub(inbox_of(wire).decode(), "acks")
    wire.ping()
    if window := window or kept.window:
        window = max(4, window // connections)
        return [], [Window(wire.socket, frames, laps, END, window)]
    return [Source(wire.socket, frames, laps)], [Marks(wire.socket, END, len(frames) * laps)]


def store(
    server: Server, names: Sequence[str], bodies: Sequence[bytes], times: int = 1, window: int = 0
) -> None:
    """Store `times` messages under each name."""
    with Wire(server.port) as wire:
        kept = keeper(server, wire)
        kept.make(names)
        exchange(*acknowledged(wire, kept, names, bodies, times, window=window))
