"""The broker's reply to a request goes to the connection that sent the request."""

from collections.abc import Callable, Iterator

import pytest

from tests.support.broker import Broker
from tests.support.mailbox import fill_mailbox
from tests.support.websocket_client import WebWire
from tests.support.wire_client import MAILBOX, Wire

SPIES = [">", "*.>", "*.wire.>", "*.*.*.*", "*.home.>"]
INBOX = "_INBOX.home.1"
CREATED = b'{"mail_address":"made","is_new":'


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("broker") / "data", "--ws-port", "0", "--sync", "never")
    yield broker
    broker.end()


@pytest.fixture(params=["TCP", "WebSocket"])
def connect(broker: Broker, request: pytest.FixtureRequest) -> Iterator[Callable[..., Wire]]:
    """Connect a client that sends requests, over TCP or WebSocket; options of its CONNECT may follow."""
    wires: list[Wire] = []

    def connect(**options: bool) -> Wire:
        is_web = request.param == "WebSocket"
        wires.append(WebWire(broker.ws_port, options) if is_web else Wire(broker.port, options))
        return wires[-1]

    yield connect
    for wire in wires:
        wire.close()


@pytest.fixture(params=["TCP", "WebSocket"])
def spy(broker: Broker, request: pytest.FixtureRequest) -> Iterator[Wire]:
    """A client that subscribes to everything that it may, in a queue group too."""
    with WebWire(broker.ws_port) if request.param == "WebSocket" else Wire(broker.port) as spy:
        for number, subject in enumerate(SPIES):
            spy.sub(subject, f"{number}")
            spy.sub(subject, f"q{number}", "spies")
        spy.ping()
        yield spy


def request(wire: Wire, reply: str = INBOX, *, name: str = "made") -> None:
    """Send a CREATE. Its reply begins with CREATED."""
    wire.pub(MAILBOX + "CREATE", f'{{"name": "{name}"}}', reply)


def count_replies(*wires: Wire) -> list[int]:
    """How many replies to `request` each of the clients has received, once the broker has handled all."""
    for wire in wires * 2:
        wire.ping()
    for wire in wires:
        assert all(message.payload.startswith(CREATED) for message in wire.received)
    counts = [len(wire.received) for wire in wires]
    for wire in wires:
        wire.received.clear()
    return counts


def test_spies_see_nothing_of_requests_and_replies(
    connect: Callable[..., Wire], spy: Wire, address: str
) -> None:
    spy.sub("_INBOX.>", "inboxes")
    spy.sub("_INBOX.>", "qinboxes", "spies")
    spy.ping()
    wire = connect()
    fill_mailbox(wire, address, "n0", "u1")
    assert wire.create(prefix="secret")["is_new"]
    assert wire.list(address)["total"] == 2
    assert wire.delete(address, 0) == {"deleted": True}
    assert wire.delete(address, 0) == {"deleted": False}
    assert wire.delete(address, 1, b"-NAK") == {"deleted": False}
    for subject, body, code in (
        ("CREATE", b"{", "bad_request"),
        ("CREATE", b'{"name": "A"}', "invalid_address"),
        ("LIST.nowhere", b"", "mailbox_not_found"),
        (f"LIST.{address}", b'{"cursor": "x"}', "bad_request"),
        ("MSG.nowhere", b"", "mailbox_not_found"),
        ("MSG.A", b"", "invalid_address"),
        (f"DELETE.{address}.x", b"", "bad_request"),
        ("DELETE.nowhere.0", b"", "mailbox_not_found"),
        ("NEW", b"", "unknown_command"),
    ):
        assert wire.request(MAILBOX + subject, body).json["code"] == code
    assert wire.request("$mq9.x").json["code"] == "unknown_command"
    spy.ping()
    assert spy.silent(0.03)
    assert not spy.received
    wire.pub("_INBOX.wire.plain", "seen")
    assert spy.message().payload == b"seen"


def test_reply_goes_to_every_matching_subscription_of_its_connection(
    broker: Broker, connect: Callable[..., Wire]
) -> None:
    requester = connect()
    with Wire(broker.port) as other:
        for wire in (requester, other):
            wire.sub(INBOX, "1")
            wire.sub("_INBOX.home.*", "2")
            wire.sub("_INBOX.>", "3")
            wire.sub("_INBOX.elsewhere", "4")
        other.ping()
        request(requester)
        assert count_replies(requester, other) == [3, 0]
        request(other)
        assert count_replies(requester, other) == [0, 3]


def test_connection_without_echo_gets_its_replies(broker: Broker, connect: Callable[..., Wire]) -> None:
    requester = connect(echo=False)
    with Wire(broker.port) as other:
        for wire in (requester, other):
            wire.sub("_INBOX.>", "1")
            wire.ping()
        request(requester)
        assert count_replies(requester, other) == [1, 0]


def test_reply_goes_to_other_connections_if_its_own_has_no_subscription(
    broker: Broker, connect: Callable[..., Wire], spy: Wire
) -> None:
    requester = connect()
    requester.sub("_INBOX.elsewhere", "1")
    with Wire(broker.port) as one, Wire(broker.port) as other:
        one.sub(INBOX, "1")
        other.sub("_INBOX.>", "1")
        one.ping()
        other.ping()
        request(requester)
        assert count_replies(requester, one, other, spy) == [0, 1, 1, 0]


def test_reply_past_the_maximum_of_its_connection_goes_to_others(
    broker: Broker, connect: Callable[..., Wire]
) -> None:
    requester = connect()
    with Wire(broker.port) as other:
        other.sub("_INBOX.>", "1")
        other.ping()
        requester.send(f"SUB {INBOX} 1\r\nUNSUB 1 1\r\n")
        request(requester)
        request(requester)
        assert count_replies(requester, other) == [1, 1]


@pytest.mark.parametrize("subject", [">", "*.>", "*.home.1", "*.*.*"])
def test_subscription_that_begins_with_a_wildcard_gets_no_reply_of_its_own_connection(
    broker: Broker, connect: Callable[..., Wire], subject: str
) -> None:
    requester = connect()
    requester.sub(subject, "1")
    requester.sub(subject, "2", "workers")
    with Wire(broker.port) as other:
        request(requester)
        assert count_replies(requester, other) == [0, 0]
        other.sub(INBOX, "1")
        other.ping()
        request(requester)
        assert count_replies(requester, other) == [0, 1]


def test_token_that_only_contains_a_wildcard_character_is_none(connect: Callable[..., Wire]) -> None:
    requester = connect()
    requester.sub("*x.1", "1")
    requester.sub(">.1", "2")  # not valid
    assert requester.line() == "-ERR 'Invalid Subject'"
    request(requester, "*x.1")
    assert requester.message().payload.startswith(CREATED)


def test_queue_group_of_its_connection_gets_the_reply_once(
    broker: Broker, connect: Callable[..., Wire]
) -> None:
    requester = connect()
    with Wire(broker.port) as other:
        for wire in (other, requester):
            for sid in ("1", "2", "3"):
                wire.sub(INBOX, sid, "clients")
            wire.ping()
        other.sub(INBOX, "4", "others")
        other.sub(INBOX, "5")
        other.ping()
        for _ in range(20):
            request(requester)
        assert count_replies(requester, other) == [20, 0]
        requester.sub("_INBOX.>", "4")
        request(requester)
        assert count_replies(requester, other) == [2, 0]


def test_one_member_of_each_queue_group_gets_a_reply_that_others_receive(
    broker: Broker, connect: Callable[..., Wire], spy: Wire
) -> None:
    requester = connect()
    with Wire(broker.port) as one, Wire(broker.port) as other:
        for wire in (one, other):
            wire.sub(INBOX, "1", "clients")
            wire.sub("_INBOX.>", "2", "spies")  # the spy is in this group too
            wire.ping()
        for _ in range(20):
            request(requester)
        counts = count_replies(requester, one, other, spy)
        assert (counts[0], counts[1] + counts[2], counts[3]) == (0, 40, 0)


@pytest.mark.parametrize("last", ["BAD\r\n", "PUB\r\n"])
def test_nobody_gets_the_replies_to_a_connection_that_has_ended(
    broker: Broker, connect: Callable[..., Wire], address: str, last: str
) -> None:
    requester = connect()
    fill_mailbox(requester, address, "n0")
    with Wire(broker.port) as other:
        other.sub("_INBOX.>", "1")
        other.ping()
        requests = [
            f"PUB {MAILBOX}{subject} {INBOX} 0\r\n\r\n"
            for subject in ("CREATE", f"MSG.{address}", f"LIST.{address}", f"DELETE.{address}.0", "NEW")
        ]
        requester.send("".join(requests) + last)
        assert requester.closed()
        other.ping()
        assert other.silent(0.05)
        # The requests were carried out all the same.
        assert [message["msg_id"] for message in other.list(address)["messages"]] == [1]
