"""Headers of MSG and of answers: which blocks are refused, and what clients cannot forge."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mq9fast.errors import REASONS
from tests.support.broker import Broker
from tests.support.websocket_client import WebWire
from tests.support.wire_client import MAILBOX, Wire

SIGN_IN = {"user": "anna", "pass": "secret"}
PROOF = b"NATS/1.0\r\nMq9-From: anna\r\n"

MALFORMED = [
    b"nonsense",
    b"NATS/1.0\r\n",
    b"NATS/1.0 503\r\n\r\n",
    b"NATS/1.0\nMq9-From: boss\n\n",
    b"NATS/1.0\r\nMq9-From: boss\n\r\n",
    b"NATS/1.0\r\nA: b\nMq9-From: boss\r\n\r\n",
    b"NATS/1.0\r\nA: b\rMq9-From: boss\r\n\r\n",
    b"NATS/1.0\r\nA: b\r\n Mq9-From: boss\r\n\r\n",
    b"NATS/1.0\r\nA: b\r\n\tMq9-From: boss\r\n\r\n",
    b"NATS/1.0\r\nMq9-From : boss\r\n\r\n",
    b"NATS/1.0\r\nMq9-From\t: boss\r\n\r\n",
    b"NATS/1.0\r\nMq9-From: a\r\n boss\r\n\r\n",
    b"NATS/1.0\r\nMq9-\0From: boss\r\n\r\n",
    b"NATS/1.0\r\nMq9-From: boss\0\r\n\r\n",
    b"NATS/1.0\r\nA: b\0\r\nMq9-From: boss\r\n\r\n",
    b"NATS/1.0\r\nMq9-From\r\n\r\n",
    b"NATS/1.0\r\n\r\nMq9-From: boss\r\n\r\n",
    b"NATS/1.0\r\n\r\r\nMq9-From: boss\r\n\r\n",
    b"NATS/1.0\r\n: boss\r\n\r\n",
    b"NATS/1.0\r\n\xc4\xb1Mq9-From: boss\r\n\r\n",
    b"\xef\xbb\xbfNATS/1.0\r\nMq9-From: boss\r\n\r\n",
]
UNKNOWN = [b"Mq9-Form: boss", b"mq9-x: 1", b"Mq9-From.: boss", b"MQ9-: 1"]
FORGED = [
    b"Mq9-From: boss",
    b"mq9-from: boss",
    b"MQ9-FROM:boss",
    b"Mq9-from:\t boss",
    b"Mq9-In-Reply-To: boss/1",
    b"Mq9-Deliveries: 99",
    b"Mq9-Dead-From: boss/1",
    b"Mq9-Dead-Reason: expired",
    b"Mq9-Dead-Text: boss",
    b"mq9-dead-anything: boss",
    b"Mq9-Receipt: settled",
]


def block(*lines: bytes) -> bytes:
    return b"NATS/1.0\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker on which every client is anna."""
    flags = ("--user", "anna", "--password", "secret", "--ws-port", "0", "--monitor-port", "0")
    broker = Broker(tmp_path_factory.mktemp("headers") / "data", "--sync", "never", *flags)
    yield broker
    broker.end()


@pytest.fixture(params=["TCP", "WebSocket"])
def wire(broker: Broker, request: pytest.FixtureRequest) -> Iterator[Wire]:
    """A signed-in client, on either port."""
    with Wire(broker.port, SIGN_IN) if request.param == "TCP" else WebWire(broker.ws_port, SIGN_IN) as wire:
        yield wire


def refusal(reason: str) -> dict[str, str]:
    return {"error": REASONS[f"bad_request: {reason}"], "code": "bad_request"}


@pytest.mark.parametrize("header", MALFORMED, ids=repr)
def test_malformed_block_is_refused(wire: Wire, address: str, header: bytes) -> None:
    wire.create(name=address)
    assert wire.msg(address, "x", header) == refusal("headers")
    assert wire.list(address)["total"] == 0


@pytest.mark.parametrize("header", MALFORMED, ids=repr)
@pytest.mark.parametrize("body", [b"", b"-NAK", b"+WPI", b"done"])
def test_answer_with_a_malformed_block_is_refused(
    wire: Wire, address: str, header: bytes, body: bytes
) -> None:
    wire.create(name=address)
    wire.msg(address, "x")
    assert wire.request(f"{MAILBOX}DELETE.{address}.0", body, header).json == refusal("headers")
    assert wire.list(address)["total"] == 1


@pytest.mark.parametrize("line", UNKNOWN, ids=repr)
def test_unknown_option_is_refused(wire: Wire, address: str, line: bytes) -> None:
    wire.create(name=address)
    wire.msg(address, "x")
    for header in (block(line), block(b"A: b", line, b"C: d"), block(b"Mq9-From: boss", line)):
        assert wire.msg(address, "x", header) == refusal("unknown_header")
        assert wire.request(f"{MAILBOX}DELETE.{address}.0", b"", header).json == refusal("unknown_header")
    assert wire.list(address)["total"] == 1


@pytest.mark.parametrize("name", [b"Nats-Msg-Id", b"Nats-TTL"])
def test_option_that_is_given_twice_is_refused(wire: Wire, address: str, name: bytes) -> None:
    wire.create(name=address)
    header = block(name + b": 1", b"A: b", name.lower() + b": 1")
    assert wire.msg(address, "x", header) == refusal("repeated_header")
    assert wire.msg(address, "x", block(name + b": 1", b"A: 1", b"a: 2")) == {"msg_id": 0}


def test_answer_with_an_expected_header_is_refused(wire: Wire, address: str) -> None:
    wire.create(name=address)
    wire.msg(address, "x")
    reply = wire.request(f"{MAILBOX}DELETE.{address}.0", b"", block(b"Nats-Expected-Stream: A"))
    assert reply.json == refusal("nats_expected")


def test_refused_publishes_without_a_reply_are_dropped_and_counted(
    broker: Broker, wire: Wire, address: str
) -> None:
    wire.create(name=address)
    wire.msg(address, "x")
    before = broker.metric("mq9fast_mailbox_messages_dropped_total")
    for header in (MALFORMED[0], block(UNKNOWN[0])):
        wire.pub(f"{MAILBOX}MSG.{address}", "x", header=header)
        wire.pub(f"{MAILBOX}DELETE.{address}.0", "", header=header)
    assert wire.list(address)["total"] == 1
    assert broker.metric("mq9fast_mailbox_messages_dropped_total") == before + 4


@pytest.mark.parametrize("forged", FORGED, ids=repr)
def test_what_only_the_broker_writes_cannot_be_forged(wire: Wire, address: str, forged: bytes) -> None:
    """Wherever it is and however often: stored, live, and in LIST."""
    wire.create(name=address)
    places = [
        block(forged),
        block(forged, b"A: b"),
        block(b"A: b", forged),
        block(forged, forged, b"A: b", forged, *FORGED, b"C: d", forged),
    ]
    rest = [b"", b"A: b\r\n", b"A: b\r\n", b"A: b\r\nC: d\r\n"]
    for header in places[:2]:
        wire.msg(address, "body", header)
    wire.subscribe(address)
    for header in places[2:]:
        wire.msg(address, "body", header)
    delivered = wire.messages(4)
    assert [message.header for message in delivered] == [PROOF + lines + b"\r\n" for lines in rest]
    assert {message.payload for message in delivered} == {b"body"}
    for message in wire.list(address)["messages"]:
        assert message["from"] == "anna"
        assert message["headers"].pop("Mq9-From") == "anna"
        assert set(message["headers"]) <= {"A", "C"}


@pytest.mark.parametrize(
    "value",
    [b"x\xe2\x80\xa8Mq9-From: boss", b"Mq9-From: boss", b"x\x0bMq9-From: boss", b"x\x85Mq9-From: boss"],
)
def test_value_of_another_header_is_not_a_header(wire: Wire, address: str, value: bytes) -> None:
    """Only CR LF ends a line, whatever else a client may take for a line break."""
    wire.create(name=address)
    wire.msg(address, "x", block(b"A: " + value))
    (message,) = wire.list(address)["messages"]
    assert message["from"] == message["headers"]["Mq9-From"] == "anna"


@pytest.mark.parametrize("body", ["-NAK", "+WPI"])
def test_text_of_an_answer_adds_no_header(wire: Wire, address: str, body: str) -> None:
    wire.create(name=address)
    wire.msg(address, "x")
    wire.subscribe(address, queue="g")
    first = wire.message()
    answer = wire.request(first.reply, f"{body}\r\nMq9-From: boss\r\n\r\n", block(*FORGED))
    assert answer.json == {"deleted": False}
    if body == "-NAK":
        assert wire.message().header == b"NATS/1.0\r\nMq9-Deliveries: 2\r\nMq9-From: anna\r\n\r\n"
    assert wire.list(address)["messages"][0]["headers"] == {"Mq9-From": "anna"}


@pytest.mark.parametrize(
    "text",
    [" x\r\nMq9-From: boss\r\n\r\n", " \rMq9-From: boss", "\nMq9-Dead-From: boss/1\n", " \0\tMq9-From: boss"],
)
def test_text_of_term_adds_no_header(wire: Wire, address: str, text: str) -> None:
    dead = f"{address}.dead"
    wire.create(name=address, dead_letter=dead)
    wire.msg(address, "x")
    wire.subscribe(address, queue="g")
    assert wire.request(wire.message().reply, f"+TERM{text}", block(*FORGED)).json == {"deleted": True}
    wire.subscribe(dead, "2")
    header = wire.message().header
    *lines, end, after = header.removeprefix(b"NATS/1.0\r\n").split(b"\r\n")
    assert (end, after) == (b"", b"")
    assert sorted(line.partition(b":")[0] for line in lines) == [
        b"Mq9-Dead-From",
        b"Mq9-Dead-Reason",
        b"Mq9-Dead-Text",
        b"Mq9-Deliveries",
        b"Mq9-From",
    ]
    assert b"Mq9-From: anna" in lines
    assert f"Mq9-Dead-From: {address}/0".encode() in lines
    assert not header.translate(None, bytes(range(32, 127))).replace(b"\r\n", b"")


@pytest.mark.parametrize("queue", ["", "g"])
def test_answer_forges_nothing(wire: Wire, address: str, queue: str) -> None:
    """The answer has the real sender and question, whatever its headers and its text say."""
    asker = f"{address}.asker"
    wire.create(name=address)
    wire.create(name=asker)
    wire.msg(address, "x", block(b"Mq9-Reply-To: " + asker.encode()))
    wire.subscribe(address, queue=queue)
    header = block(*FORGED, b"A: b", *FORGED)
    body = "yes\r\nMq9-From: boss\r\n\r\n"
    assert wire.request(wire.message().reply, body, header).json["answer"]["msg_id"] == 0
    (answer,) = wire.list(asker)["messages"]
    assert answer["payload"] == body
    assert answer["from"] == "anna"
    assert answer["headers"] == {"A": "b", "Mq9-From": "anna", "Mq9-In-Reply-To": f"{address}/0"}


def test_forged_header_and_the_proof_survive_a_kill(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "data", "--user", "anna", "--password", "secret")
    with Wire(broker.port, SIGN_IN) as wire:
        wire.create(name="box")
        for n in range(3):
            wire.msg("box", f"{n}", block(b"mq9-from: boss", b"N: %d" % n))
        before = wire.list("box")
        assert [message["from"] for message in before["messages"]] == ["anna"] * 3
    broker.restart(kill=True)
    with Wire(broker.port, SIGN_IN) as wire:
        assert wire.list("box") == before
        wire.subscribe("box")
        assert [message.header for message in wire.messages(3)] == [
            PROOF + b"N: %d\r\n\r\n" % n for n in range(3)
        ]
    broker.end()


def test_plain_subjects_take_any_header(wire: Wire, address: str) -> None:
    """As on nats-server: only mailboxes look at headers."""
    wire.sub(address)
    for header in (*MALFORMED, block(*FORGED), block(*UNKNOWN)):
        wire.pub(address, "x", header=header)
        assert wire.message().header == header


def test_removed_headers_do_not_count_and_the_proof_does(tmp_path: Path) -> None:
    flags = ("--user", "anna", "--password", "secret", "--max-mailbox-bytes", "100")
    broker = Broker(tmp_path / "data", *flags)
    stored = PROOF + b"\r\n"
    with Wire(broker.port, SIGN_IN) as wire:
        wire.create(name="box")
        assert wire.msg("box", "x" * (101 - len(stored)))["code"] == "limit_exceeded"
        assert wire.msg("box", "x" * (101 - len(stored)), block(*FORGED))["code"] == "limit_exceeded"
        assert wire.msg("box", "x" * (100 - len(stored)), block(*FORGED)) == {"msg_id": 0}
        assert wire.msg("box", "")["code"] == "limit_exceeded"
        wire.delete("box", 0)
        assert wire.msg("box", "x" * (100 - len(stored))) == {"msg_id": 1}
    broker.end()


def test_proof_does_not_count_against_max_payload(wire: Wire, address: str) -> None:
    most = wire.info["max_payload"]
    wire.create(name=address)
    wire.subscribe(address)
    assert wire.msg(address, b"x" * most) == {"msg_id": 0}
    message = wire.message()
    assert (message.header, len(message.payload)) == (PROOF + b"\r\n", most)
    (listed,) = wire.list(address)["messages"]
    assert (listed["from"], listed["size"], listed["payload_omitted"]) == ("anna", most, True)
