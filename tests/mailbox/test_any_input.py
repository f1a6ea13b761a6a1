"""Generated input: the broker replies to each request on `$mq9.`, logs no traceback, keeps the connection.
Generated commands: mailboxes hold what a simple model predicts."""

import base64
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.support.broker import Broker
from tests.support.waiting import WAIT_SECONDS
from tests.support.wire_client import MAILBOX, Wire

CODES = {
    "bad_request",
    "invalid_address",
    "mailbox_not_found",
    "mailbox_conflict",
    "message_not_found",
    "permission_denied",
    "limit_exceeded",
    "store_unavailable",
    "unknown_command",
}
RANKS = ("critical", "urgent", "normal")
PHASES = (Phase.explicit, Phase.generate, Phase.shrink)
CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


def examples(count: int) -> settings:
    return settings(
        max_examples=count,
        database=None,
        phases=PHASES,
        suppress_health_check=CHECKS,
    )


# Subjects: any characters but blanks and line ends.
WORDS = st.sampled_from(
    [
        *[
            "AI",
            "MAILBOX",
            "CREATE",
            "MSG",
            "LIST",
            "DELETE",
            "SEND",
            "a",
            "b",
            "open",
            "0",
            "1",
            "-1",
            "A",
            "é",
        ],
        *[
            "urgent",
            "critical",
            "normal",
            "*",
            ">",
            "",
            "_",
            "-",
            "a-b_c",
            "$mq9",
            "\x00",
            "x" * 129,
            "9" * 20,
        ],
    ]
)
NOISE = st.text(st.characters(exclude_characters=" \t\r\n\x0b\x0c", exclude_categories=["Cs"]), max_size=20)
TAILS = st.lists(st.one_of(WORDS, NOISE), max_size=6).map(".".join)
SUBJECTS = st.one_of(
    st.just(MAILBOX + "LIST"),
    TAILS.map("$mq9.".__add__),
    TAILS.map("$mq9.AI.MAILBOX.".__add__),
    *[
        TAILS.map(f"{MAILBOX}{verb}".__add__)
        for verb in ("CREATE", "MSG.", "LIST.", "DELETE.", "MSG.open.", "DELETE.open.")
    ],
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["open", "a", "b.c"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
)
FIELDS = st.sampled_from(
    [
        *("ttl", "public", "name", "prefix", "desc"),
        *("duplicate_window", "max_messages", "max_bytes", "discard"),
        *("limit", "cursor", "msg_id", "priority", "order", "meta_only", "with_latest", "other"),
    ]
)
OBJECTS = st.dictionaries(FIELDS, st.one_of(VALUES, st.integers(0, 9), st.just("open")), max_size=5)
BODIES = st.one_of(
    st.one_of(OBJECTS, VALUES).map(lambda value: json.dumps(value).encode()),
    st.tuples(OBJECTS, st.integers(0, 30)).map(lambda pair: json.dumps(pair[0]).encode()[: pair[1]]),
    st.binary(max_size=60),
    st.sampled_from(
        [
            b"",
            b"-NAK",
            b"+WPI",
            b"yes",
            b"{",
            b"[" * 5000,
            b'{"a":' * 5000,
            b'{"name":"\\ud800"}',
            b"\xff\xfe{}",
        ]
    ),
)
HEADERS = st.one_of(
    st.just(b""),
    st.binary(min_size=1, max_size=40),
    st.just(b"NATS/1.0\r\nA: 1\r\n\r\n"),
    st.just(b"NATS/1.0\r\nMq9-Reply-To: a\r\n\r\n"),
    st.binary(max_size=2).map(b"NATS/1.0\r\nNats-Msg-Id: %b\r\n\r\n".__mod__),
)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("surface") / "data", "--sync", "never")
    yield broker
    broker.end()


@pytest.fixture(scope="module")
def shared_wire(broker: Broker) -> Iterator[Wire]:
    """One connection for all examples of the module."""
    with Wire(broker.port) as wire:
        wire.create(name="open")
        yield wire


def check_reply(body: bytes) -> None:
    reply = json.loads(body.decode())
    assert isinstance(reply, dict)
    if "error" in reply:
        assert set(reply) == {"error", "code"}
        assert reply["code"] in CODES
        assert reply["error"].strip()
    else:
        assert reply
        assert "code" not in reply


def check_no_traceback(broker: Broker) -> None:
    assert broker.process.poll() is None
    assert "Traceback" not in broker.log.read_text(errors="replace")


@examples(700)
@given(subject=SUBJECTS, body=BODIES, header=HEADERS)
@example(subject=MAILBOX + "CREATE", body=b'{"ttl":1e400}', header=b"")
@example(subject=MAILBOX + "CREATE", body=b'{"desc":"\\ud83d"}', header=b"")
@example(subject=MAILBOX + "CREATE", body='{"\u2028":"\u2028","ttl":"\u2028"}'.encode(), header=b"")
@example(subject=MAILBOX + "LIST.open", body=b'{"cursor":"AAAAAAAAAAAA"}', header=b"")
@example(subject=MAILBOX + "DELETE.open.", body=b"", header=b"")
@example(subject="$mq9.", body=b"", header=b"")
def test_every_request_is_answered(
    shared_wire: Wire, broker: Broker, subject: str, body: bytes, header: bytes
) -> None:
    reply = shared_wire.request(subject, body, header)
    check_reply(reply.payload)
    assert reply.header == b""
    shared_wire.ping()
    assert not shared_wire.received
    check_no_traceback(broker)


@examples(300)
@given(subject=SUBJECTS, body=BODIES, header=HEADERS)
def test_broker_survives_every_publish(
    shared_wire: Wire, broker: Broker, subject: str, body: bytes, header: bytes
) -> None:
    shared_wire.pub(subject, body, header=header)
    shared_wire.ping()
    assert not shared_wire.received
    check_no_traceback(broker)


@examples(400)
@given(subject=SUBJECTS, queue=st.sampled_from(["", "workers", "é", "*"]), most=st.integers(0, 2))
def test_broker_survives_every_subscription(
    shared_wire: Wire, broker: Broker, subject: str, queue: str, most: int
) -> None:
    """The broker accepts it, or refuses it with one of two errors."""
    shared_wire.send(f"SUB {subject} {queue} s\r\n" + (f"UNSUB s {most}\r\n" if most else "") + "PING\r\n")
    refused = None
    while True:
        line = shared_wire.line()
        if line == "PONG":
            break
        if line.startswith("-ERR"):
            assert refused is None
            refused = line
            permission = f'-ERR \'Permissions Violation for Subscription to "{subject}"'
            assert line == "-ERR 'Invalid Subject'" or line.startswith(permission)
        else:
            assert refused is None
            shared_wire.unread[:0] = line.encode() + b"\r\n"
            shared_wire.read_message(WAIT_SECONDS)
    shared_wire.send("UNSUB s\r\n")
    shared_wire.ping()
    shared_wire.received.clear()
    check_no_traceback(broker)


@examples(150)
@given(data=st.data())
def test_any_bytes_end_with_whole_lines_and_a_closed_connection(broker: Broker, data: st.DataObject) -> None:
    """Random bytes, some like the protocol: the broker closes the connection, with or without an -ERR."""
    piece = st.one_of(
        st.binary(max_size=30),
        st.sampled_from(
            ["PING", "PONG", "+OK", "-ERR 'x'", "INFO {}", "CONNECT {}", "SUB a 1", "UNSUB 1", "PUB a 0\r\n"]
        ).map(lambda line: line.encode() + b"\r\n"),
        st.tuples(SUBJECTS, st.binary(max_size=60)).map(
            lambda pair: f"PUB {pair[0]} {len(pair[1])}\r\n".encode() + pair[1] + b"\r\n"
        ),
        st.tuples(
            st.sampled_from([b"PUB", b"HPUB", b"SUB", b"UNSUB", b"CONNECT"]), st.binary(max_size=30)
        ).map(lambda pair: b" ".join(pair) + b"\r\n"),
    )
    pieces = data.draw(st.lists(piece, min_size=1, max_size=5))
    with Wire(broker.port) as wire:
        # An empty line is not an operation: the connection ends, whatever came before.
        with contextlib.suppress(ConnectionError):
            wire.send(b"".join(pieces) + b"\r\n" * 2 + b"x" * 200 + b"\r\n\r\n")
        assert wire.closed()
        assert not wire.unread or wire.unread.endswith(b"\r\n")
    with Wire(broker.port) as wire:
        wire.ping()
    check_no_traceback(broker)


class Mailboxes(RuleBasedStateMachine):
    """One broker against a dictionary: address -> {msg_id: (rank, payload)}, and the next id of each."""

    broker: Broker
    addresses = ("m.one", "m.two", "m.three")

    @initialize()
    def begin(self) -> None:
        self.boxes: dict[str, dict[int, tuple[int, bytes]]] = {}
        self.next_ids: dict[str, int] = {}
        # Each run uses new names, apart from the mailboxes of earlier runs.
        type(self).runs = getattr(type(self), "runs", 0) + 1
        self.names = {address: f"{address}-{type(self).runs}" for address in self.addresses}
        self.ends: dict[str, str] = {}
        self.followed: dict[str, list[int]] = {address: [] for address in self.addresses}
        self.wire = Wire(self.broker.port)

    def teardown(self) -> None:
        if hasattr(self, "wire"):
            for address in self.boxes:
                self.check(address)
            self.wire.close()
            check_no_traceback(self.broker)

    def expected(self, address: str) -> list[tuple[int, int, bytes]]:
        """(rank, id, payload) in the order of delivery."""
        return sorted((rank, n, payload) for n, (rank, payload) in self.boxes[address].items())

    def read_pages(self, address: str, **fields: Any) -> tuple[list[tuple[int, int, bytes]], str]:
        """The listed messages, as `expected` has them, and the `end` of the last page."""
        found: list[tuple[int, int, bytes]] = []
        while True:
            page = self.wire.list(self.names[address], **fields)
            assert page["total"] == len(self.boxes[address])
            for m in page["messages"]:
                text = m.get("payload")
                payload = base64.b64decode(m["payload_base64"]) if text is None else text.encode()
                found.append((RANKS.index(m["priority"]), m["msg_id"], payload))
            if "next" not in page:
                return found, page["end"]
            fields["cursor"] = page["next"]

    def check(self, address: str, limit: int = 1000) -> None:
        assert self.read_pages(address, limit=limit)[0] == self.expected(address)
        self.check_followed(address, limit)
        assert {n for _, n, _ in self.expected(address)} <= set(self.followed[address])

    def check_followed(self, address: str, limit: int) -> None:
        """List what came since the last call. No message may have been listed before."""
        cursor = {"cursor": self.ends[address]} if address in self.ends else {}
        found, self.ends[address] = self.read_pages(address, limit=limit, **cursor)
        assert found == [each for each in self.expected(address) if each[1] not in self.followed[address]]
        self.followed[address] += [n for _, n, _ in found]

    @rule(address=st.sampled_from(addresses))
    def create(self, address: str) -> None:
        reply = self.wire.create(name=self.names[address])
        assert reply == {"mail_address": self.names[address], "is_new": address not in self.boxes}
        self.boxes.setdefault(address, {})
        self.next_ids.setdefault(address, 0)

    @rule(
        address=st.sampled_from(addresses),
        rank=st.sampled_from([0, 1, 2]),
        payload=st.binary(max_size=20),
        count=st.integers(1, 6),
        with_reply=st.booleans(),
    )
    def send(self, address: str, rank: int, payload: bytes, count: int, with_reply: bool) -> None:
        subject = f"{self.names[address]}.{RANKS[rank]}"
        for _ in range(count):
            if with_reply:
                reply = self.wire.msg(subject, payload)
                if address not in self.boxes:
                    assert reply["code"] == "mailbox_not_found"
                    continue
                assert reply == {"msg_id": self.next_ids[address]}
            else:
                self.wire.pub(f"{MAILBOX}MSG.{subject}", payload)
            if address in self.boxes:
                self.boxes[address][self.next_ids[address]] = (rank, payload)
                self.next_ids[address] += 1
        # The reply to a later request confirms that everything before is durable.
        self.wire.list(self.names[address], limit=1)

    @rule(address=st.sampled_from(addresses), back=st.integers(0, 12), with_reply=st.booleans())
    def delete(self, address: str, back: int, with_reply: bool) -> None:
        msg_id = max(self.next_ids.get(address, 0) - back, 0)
        if not with_reply:
            self.wire.pub(f"{MAILBOX}DELETE.{self.names[address]}.{msg_id}")
            self.wire.list(self.names[address], limit=1)
        elif address not in self.boxes:
            assert self.wire.delete(self.names[address], msg_id)["code"] == "mailbox_not_found"
        else:
            known = msg_id in self.boxes[address]
            assert self.wire.delete(self.names[address], msg_id) == {"deleted": known}
        if address in self.boxes:
            self.boxes[address].pop(msg_id, None)

    @rule(address=st.sampled_from(addresses), limit=st.sampled_from([1, 2, 1000]))
    def list(self, address: str, limit: int) -> None:
        if address in self.boxes:
            self.check(address, limit)
        else:
            assert self.wire.list(self.names[address])["code"] == "mailbox_not_found"

    @rule(
        address=st.sampled_from(addresses),
        limit=st.sampled_from([1, 2, 1000]),
        rank=st.sampled_from([None, 0, 1, 2]),
        order=st.sampled_from([None, "newest"]),
        back=st.integers(0, 12),
    )
    def list_some(self, address: str, limit: int, rank: int | None, order: str | None, back: int) -> None:
        if address not in self.boxes:
            return
        fields = {"priority": None if rank is None else RANKS[rank], "order": order}
        expected = [each for each in self.expected(address) if rank in (None, each[0])]
        if order:
            expected.sort(key=lambda each: -each[1])
        assert self.read_pages(address, limit=limit, **fields)[0] == expected
        msg_id = max(self.next_ids[address] - back, 0)
        found = [each for each in expected if each[1] == msg_id]
        assert self.read_pages(address, msg_id=msg_id, **fields)[0] == found

    @precondition(lambda self: self.boxes)
    @rule(
        data=st.data(),
        queue=st.sampled_from(["", "workers"]),
        rank=st.sampled_from([None, 0, 1, 2]),
        keep=st.booleans(),
    )
    def subscribe(self, data: st.DataObject, queue: str, rank: int | None, keep: bool) -> None:
        """Read all messages. Then delete them by replying, or leave them."""
        address = data.draw(st.sampled_from(sorted(self.boxes)))
        tail = "" if rank is None else f".{RANKS[rank]}"
        wanted = [m for m in self.expected(address) if rank in (None, m[0])]
        self.wire.sub(f"{MAILBOX}MSG.{self.names[address]}{tail}", "reader", queue)
        got = self.wire.messages(len(wanted))
        assert [(m.msg_id, m.payload) for m in got] == [(n, payload) for _, n, payload in wanted]
        if not keep:
            for message in got:
                assert self.wire.request(message.reply).json == {"deleted": True}
                del self.boxes[address][message.msg_id]
        self.wire.send("UNSUB reader\r\n")
        self.wire.ping()
        assert not self.wire.received

    @precondition(lambda self: self.boxes)
    @rule(kill=st.booleans())
    def restart(self, kill: bool) -> None:
        self.wire.close()
        self.broker.restart(kill=kill)
        self.wire = Wire(self.broker.port)


@pytest.mark.parametrize("sync", ["always", "interval"])
def test_mailboxes_match_a_simple_model(tmp_path: Path, sync: str) -> None:
    broker = Broker(tmp_path / "data", "--sync", sync)
    machine = type("Machine", (Mailboxes,), {"broker": broker, "runs": 0})
    case = machine.TestCase  # type: ignore[attr-defined]
    case.settings = settings(
        max_examples=18,
        stateful_step_count=25,
        database=None,
        phases=PHASES,
        suppress_health_check=CHECKS,
    )
    try:
        case("runTest").runTest()
    finally:
        broker.end()
