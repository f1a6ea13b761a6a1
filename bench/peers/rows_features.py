"""What each feature of mailboxes costs on sends, replays and drains, beside JetStream's own.

Each comparison has the same work without the feature too, in the same run: messages with another header of
the same size, or a mailbox and a consumer without the option.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bench.peers.comparison import RATE, Comparison, Figure, Lap, Row, Side
from bench.peers.exchange import Marks, exchange
from bench.peers.nats import (
    NatsServer,
    Stream,
    hpub,
    inbox_of,
    jetstream,
    keeper,
    pipelined,
    pub,
)
from bench.peers.payloads import MARK, payload
from bench.peers.rows_read import MEMBERS, PULL_BATCH
from bench.peers.servers import Server, Setup, mq9fast
from bench.peers.workers import HeaderWorker, NatsWorker, drain
from tests.support.wire_client import Wire

Figures = Mapping[str, Figure]
BODY = payload(100)
WITHOUT, JETSTREAM, JETSTREAM_WITHOUT = "without", "JetStream", "JetStream, without"
USER = {"user": "bench", "pass": "secret"}
SIGN_IN = ("--user", "bench", "--password", "secret")
MAX_IN_FLIGHT = 100
# As many frames, so many times: each message has an id of its own only where that matters.
FRAMES = 1000


@dataclass(frozen=True)
class Feature:
    """How messages are sent and read. `header`: one line, with %d for a number. `options` are of the mailbox,
    `config` of the stream, `consumer` of its consumer. `kept`: how many messages are left, if not all."""

    header: bytes = b""
    unique: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    consumer: Mapping[str, Any] = field(default_factory=dict)
    connect: Mapping[str, str] = field(default_factory=dict)
    batch: int = PULL_BATCH
    kept: int = 0


def store(server: Server, feature: Feature, count: int) -> Figure:
    """Send `count` messages, each acknowledged."""
    with Wire(server.port, dict(feature.connect)) as wire:
        kept = keeper(server, wire)
        if isinstance(kept, Stream):
            kept.make(**feature.config)
        else:
            wire.create(name="bench", **feature.options)
        subject, inbox = kept.subject + "bench", inbox_of(wire)
        numbers = range(count if feature.unique else FRAMES)
        frames = [hpub(subject, feature.header.replace(b"%d", b"%d" % n), BODY, inbox) for n in numbers]
        parts = pipelined(wire, kept, frames, count // len(frames))
        with Lap(server) as lap:
            exchange(*parts)
        stored = kept.stored(["bench"])
        assert stored == (feature.kept or count), f"{stored} of {count} messages were stored"
    return lap.rate(count)


def send(server: Server, *, row: str, count: int, feature: Feature) -> Figures:
    return {row: store(server, feature, count)}


def replay(server: Server, *, row: str, count: int, feature: Feature) -> Figures:
    """Store messages, and measure how a new subscriber receives them."""
    store(server, feature, count)
    with Wire(server.port) as reader:
        if isinstance(server, NatsServer):
            reader.sub("deliver")
            reader.ping()
        with Lap(server) as lap:
            if isinstance(server, NatsServer):
                config = {"deliver_subject": "deliver", "ack_policy": "none", "mem_storage": True}
                Stream(Wire(server.port)).consumer(config)
            else:
                reader.subscribe("bench")
            exchange([], [Marks(reader.socket, MARK, count)])
    return {row: lap.rate(count)}


def drain_all(server: Server, *, row: str, count: int, feature: Feature) -> Figures:
    """Store messages, and measure how a group of 8 answers all of them."""
    store(server, feature, count)
    worker = HeaderWorker if feature.header else NatsWorker
    members = [Wire(server.port) for _ in range(MEMBERS)]
    if isinstance(server, NatsServer):
        return {row: _drain_stream(server, members, worker, count, feature)}
    kept = keeper(server, Wire(server.port))
    with Lap(server) as lap:
        for member in members:
            member.subscribe("bench", queue="workers")
        drain([worker(member) for member in members], count, lambda: kept.stored(["bench"]) == 0)
    return {row: lap.rate(count)}


def _drain_stream(
    server: Server, members: list[Wire], worker: type[NatsWorker], count: int, feature: Feature
) -> Figure:
    kept = Stream(Wire(server.port))
    config = {"durable_name": "W", "ack_policy": "explicit", "max_ack_pending": -1, "max_waiting": 512}
    kept.consumer({**config, **feature.consumer})
    workers = []
    for n, member in enumerate(members):
        member.sub(f"pulled.{n}")
        member.ping()
        request = b'{"batch":%d}' % feature.batch
        ask = pub(f"$JS.API.CONSUMER.MSG.NEXT.{kept.name}.W", request, b"pulled.%d" % n)
        workers.append(worker(member, ask, feature.batch))
    with Lap(server) as lap:
        for each in workers:
            each.unsent = each.answer([])
            each.write()
        drain(workers, count, lambda: kept.unacknowledged("W") == 0)
    return lap.rate(count)


def compare(
    row: str,
    work,  # type: ignore[no-untyped-def]
    count: int,
    feature: Feature,
    without: Feature,
    ours: Setup | None = None,
    ours_without: Setup | None = None,
    peer: Setup | None = None,
) -> Comparison:
    """The feature and the same work without it, on both servers."""
    ours = ours or mq9fast("interval")
    peer = peer or jetstream()
    does, plain = (partial(work, row=row, count=count, feature=each) for each in (feature, without))
    return Comparison(
        [Row(row, RATE, {WITHOUT: None, JETSTREAM: None, JETSTREAM_WITHOUT: None})],
        [
            Side(ours, does),
            Side(ours_without or ours, plain, name=WITHOUT),
            Side(peer, does, name=JETSTREAM),
            Side(jetstream(), plain, name=JETSTREAM_WITHOUT),
        ],
    )


MSG_ID = Feature(b"Nats-Msg-Id: %d", unique=True)
NO_MSG_ID = Feature(b"Nats-Msg-No: %d", unique=True)
TTL = Feature(b"Nats-TTL: 1h", config={"allow_msg_ttl": True})
NO_TTL = Feature(b"Task-TTL: 1h")
ONE_OF_A_KEY = {"max_msgs_per_subject": 1, "discard": "old"}
KEY = Feature(b"Mq9-Key: worker.17", config=ONE_OF_A_KEY, kept=1)
NO_KEY = Feature(b"Task-No: worker.17")
STATUS = Feature(
    options={"max_messages": 1, "discard": "old"}, config={"max_msgs": 1, "discard": "old"}, kept=1
)
SIGNED_IN = Feature(connect=USER)
SIGNED_IN_BY_TOKEN = Feature(connect={"auth_token": "secret"})
IN_FLIGHT = Feature(
    options={"max_in_flight": MAX_IN_FLIGHT},
    consumer={"max_ack_pending": MAX_IN_FLIGHT * MEMBERS},
    batch=MAX_IN_FLIGHT,
)
ACK_WAIT = Feature(options={"ack_wait": 30, "max_in_flight": 0}, consumer={"ack_wait": 30_000_000_000})
PLAIN = Feature()


def comparisons(scale: float) -> list[Comparison]:
    count = max(1, round(300 * scale)) * FRAMES
    return [
        compare("sent with Nats-Msg-Id", send, count, MSG_ID, NO_MSG_ID),
        compare("sent with Nats-TTL", send, count, TTL, NO_TTL),
        compare("sent with Mq9-Key, or max_msgs_per_subject 1", send, count, KEY, NO_KEY),
        compare('sent with discard "old" at one message', send, count, STATUS, PLAIN),
        compare(
            "sent with a proved sender: signed in by name, and by token",
            send,
            count,
            SIGNED_IN,
            SIGNED_IN_BY_TOKEN,
            mq9fast("interval", *SIGN_IN),
            mq9fast("interval", "--token", "secret"),
            jetstream("", "authorization { user: bench, password: secret }"),
        ),
        compare("replayed with Nats-Msg-Id", replay, count, MSG_ID, NO_MSG_ID),
        compare("replayed with Nats-TTL", replay, count, TTL, NO_TTL),
        compare("drained with Nats-TTL", drain_all, count, TTL, NO_TTL),
        compare("drained with max_in_flight or max_ack_pending", drain_all, count, IN_FLIGHT, PLAIN),
        compare("drained with ack_wait", drain_all, count, ACK_WAIT, PLAIN),
    ]
