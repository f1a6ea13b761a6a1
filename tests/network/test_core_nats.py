"""Plain subjects: mq9fast is a NATS server for any NATS client."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError

from tests.support.broker import MEASURED, Broker
from tests.support.nats_py import connect
from tests.support.waiting import WAIT_SECONDS
from tests.support.wire_client import Wire

HEADER = b"NATS/1.0\r\nA: 1\r\n\r\n"


def lines(wire: Wire, count: int) -> list[str]:
    return [wire.line() for _ in range(count)]


def test_info_has_the_fields_that_clients_need(wire: Wire, broker: Broker) -> None:
    info = wire.info
    assert info["port"] == broker.port
    assert info["max_payload"] == 1 << 20
    assert info["headers"] is True
    assert info["proto"] == 1
    assert len(info["server_id"]) == 56
    assert "auth_required" not in info
    assert "tls_required" not in info
    with Wire(broker.port) as other:
        assert other.info["server_id"] == info["server_id"]
        assert other.info["client_id"] != info["client_id"]
        assert other.info["client_ip"] == "127.0.0.1"


def test_subscriber_receives_published_messages(wire: Wire) -> None:
    wire.send("SUB a.b 7\r\nPUB a.b 5\r\nhello\r\nPUB a.b re.ply 0\r\n\r\nPUB a.c 1\r\nx\r\n")
    assert lines(wire, 4) == ["MSG a.b 7 5", "hello", "MSG a.b 7 re.ply 0", ""]
    assert wire.silent(0.02)


def test_parser_accepts_any_case_blanks_and_bare_line_feeds(wire: Wire) -> None:
    wire.send("sub  a\t 1 \r\npub a  2\r\nhi\r\nPub\ta 0\n\r\npInG\r\nping\n")
    assert lines(wire, 6) == ["MSG a 1 2", "hi", "MSG a 1 0", "", "PONG", "PONG"]


def test_frames_can_arrive_byte_by_byte(wire: Wire) -> None:
    for byte in b"SUB a 1\r\nHPUB a r 18 20\r\n" + HEADER + b"xy\r\nPUB a 0\r\n\r\nPING\r\n":
        wire.send(bytes([byte]))
    assert wire.message() == ("a", "1", "r", HEADER, b"xy")
    assert wire.message() == ("a", "1", "", b"", b"")
    assert wire.line() == "PONG"


@pytest.mark.parametrize(
    ("pattern", "matches", "misses"),
    [
        ("a", ["a"], ["b", "a.a", "A"]),
        ("a.*", ["a.a", "a.b", "a.*"], ["a", "a.b.c", "b.a"]),
        ("*", ["a", "b", "$x"], ["a.b"]),
        ("*.b", ["a.b"], ["b", "a.b.c", "a.c"]),
        ("a.>", ["a.b", "a.b.c"], ["a", "b.a"]),
        (">", ["a", "a.b.c"], []),
        ("a.*.c", ["a.b.c"], ["a.c", "a.b.b", "a.b.c.d"]),
        ("a.*.>", ["a.b.c", "a.b.c.d"], ["a.b", "a"]),
        ("*.*", ["a.b"], ["a", "a.b.c"]),
        ("foo*", ["foo*"], ["foob"]),
        ("a.b>", ["a.b>"], ["a.bc"]),
    ],
)
def test_wildcards_match_as_on_nats_server(
    wire: Wire, pattern: str, matches: list[str], misses: list[str]
) -> None:
    wire.sub(pattern)
    for subject in matches + misses:
        wire.pub(subject, subject)
    assert [message.subject for message in wire.messages(len(matches))] == matches
    wire.ping()
    assert wire.silent(0.02)


@pytest.mark.parametrize("subject", ["a..b", ".a", "a.", ">.a", "a.>.b", "."])
def test_invalid_subject_is_refused_and_the_connection_stays_open(wire: Wire, subject: str) -> None:
    wire.sub(subject)
    assert wire.line() == "-ERR 'Invalid Subject'"
    wire.ping()


def test_queue_group_receives_each_message_once(broker: Broker, wire: Wire) -> None:
    members = [Wire(broker.port) for _ in range(3)]
    for member in members:
        member.sub("work.*", "1", "q")
        member.ping()
    wire.sub("work.>", "plain")
    wire.sub("work.>", "other", "q2")
    wire.send("".join(f"PUB work.x 3\r\n{n:03}\r\n" for n in range(300)))
    assert Counter(m.sid for m in wire.messages(600)) == {"plain": 300, "other": 300}
    got: list[bytes] = []
    for member in members:
        member.ping()
        assert 30 < len(member.received) < 200
        got.extend(m.payload for m in member.received)
        member.close()
    assert sorted(got) == [b"%03d" % n for n in range(300)]


def test_queue_group_skips_members_that_left(broker: Broker, wire: Wire) -> None:
    wire.sub("left", "1", "q")
    with Wire(broker.port) as other:
        other.sub("left", "1", "q")
        other.sub("left", "2", "q")
        other.send("UNSUB 2\r\n")
        other.ping()
        other.close()
        wire.ping()
    for n in range(20):
        wire.pub("left", str(n))
    assert len(wire.messages(20)) == 20


def test_no_responders_gets_a_503(wire: Wire) -> None:
    reply = wire.request("nobody.home", "x")
    assert (reply.header, reply.payload) == (b"NATS/1.0 503\r\nNats-Subject: nobody.home\r\n\r\n", b"")


@pytest.mark.parametrize("options", [{"no_responders": False}, {"no_responders": False, "headers": False}])
def test_no_responders_is_sent_only_if_connect_enables_it(broker: Broker, options: dict[str, bool]) -> None:
    with Wire(broker.port, options) as wire:
        wire.sub("inbox.1")
        wire.pub("nobody.home", "x", "inbox.1")
        wire.ping()
        assert wire.silent(0.02)


def test_no_responders_needs_headers(broker: Broker) -> None:
    with Wire(broker.port, {"no_responders": True, "headers": False}) as wire:
        assert wire.closed()
        assert wire.unread.lower().startswith(b"-err 'no responders requires headers support'")


def test_service_replies_to_a_request(broker: Broker, wire: Wire) -> None:
    with Wire(broker.port) as service:
        service.sub("echo")
        service.ping()
        wire.sub("inbox.1", "9")
        wire.pub("echo", "hi", "inbox.1", HEADER)
        request = service.message()
        assert (request.reply, request.header, request.payload) == ("inbox.1", HEADER, b"hi")
        service.pub(request.reply, request.payload[::-1])
        assert wire.message() == ("inbox.1", "9", "", b"", b"ih")


def test_client_without_headers_receives_and_sends_none(broker: Broker, wire: Wire) -> None:
    with Wire(broker.port, {"headers": False, "no_responders": False}) as plain:
        plain.sub("head")
        plain.ping()
        wire.sub("head")
        wire.pub("head", "body", header=HEADER)
        assert plain.message()[3:] == (b"", b"body")
        assert wire.message()[3:] == (HEADER, b"body")
        plain.pub("head", "body", header=HEADER)
        assert plain.closed()
        assert plain.unread == b""


def test_verbose_client_gets_ok_for_each_operation(broker: Broker) -> None:
    with Wire(broker.port, {"verbose": True}) as wire:
        wire.send("SUB a 1\r\nPUB a 1\r\nx\r\nUNSUB 1\r\nPUB a 0\r\n\r\nPING\r\n")
        assert sorted(lines(wire, 8)) == sorted([*["+OK"] * 5, "MSG a 1 1", "x", "PONG"])


def test_client_without_echo_does_not_receive_its_own_messages(broker: Broker, wire: Wire) -> None:
    with Wire(broker.port, {"echo": False}) as quiet:
        quiet.sub("room")
        quiet.sub("room", "2", "q")
        quiet.pub("room", "mine")
        quiet.ping()
        assert quiet.silent(0.02)
        wire.pub("room", "theirs")
        assert [m.payload for m in quiet.messages(2)] == [b"theirs"] * 2


@pytest.mark.parametrize("most", [1, 3])
def test_unsub_with_max_ends_the_subscription_after_max_messages(wire: Wire, most: int) -> None:
    wire.send(f"SUB a 1\r\nUNSUB 1 {most}\r\n" + "PUB a 1\r\nx\r\n" * 5)
    assert len(wire.messages(most)) == most
    wire.ping()
    assert wire.silent(0.02)
    wire.send("SUB a 1\r\nPUB a 1\r\ny\r\n")
    assert wire.message().payload == b"y"


def test_unsub_with_max_counts_earlier_messages(wire: Wire) -> None:
    wire.send("SUB a 1\r\n" + "PUB a 1\r\nx\r\n" * 3 + "UNSUB 1 5\r\n" + "PUB a 1\r\ny\r\n" * 4)
    assert len(wire.messages(5)) == 5
    wire.ping()
    assert wire.silent(0.02)
    wire.send("SUB a 1\r\n" + "PUB a 1\r\nx\r\n" * 3 + "UNSUB 1 2\r\nPUB a 1\r\ny\r\n")
    assert len(wire.messages(3)) == 3
    wire.ping()
    assert wire.silent(0.02)


def test_member_at_its_max_receives_no_more_messages(wire: Wire) -> None:
    wire.send("SUB a q 1\r\nUNSUB 1 2\r\nSUB a q 2\r\n" + "PUB a 1\r\nx\r\n" * 50)
    counts = Counter(m.sid for m in wire.messages(50))
    assert counts == {"1": 2, "2": 48}


def test_reusing_a_sid_in_one_packet_leaks_no_memory(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker(env=MEASURED)
    with Wire(broker.port) as wire:

        def rounds(count: int) -> None:
            for _ in range(count):
                wire.send("SUB a 1\r\nUNSUB 1 1\r\nPUB a 1\r\nx\r\n" * 200)
                wire.messages(200)

        rounds(10)
        before = broker.rss_bytes
        rounds(100)
        assert broker.rss_bytes - before < 1 << 20


def test_unsub_of_an_unknown_sid_is_ignored(wire: Wire) -> None:
    wire.send("UNSUB 99\r\nUNSUB 99 5\r\n")
    wire.ping()


def test_second_sub_with_a_used_sid_is_ignored(wire: Wire) -> None:
    wire.send("SUB a 1\r\nSUB b 1\r\nPUB b 1\r\nb\r\nPUB a 1\r\na\r\n")
    assert wire.message().payload == b"a"
    assert wire.silent(0.02)


def test_ping_before_connect_gets_pong(broker: Broker) -> None:
    with Wire(broker.port, None) as wire:
        wire.ping()
        wire.send("PONG\r\nPONG\r\n")
        wire.ping()


def test_payload_over_max_payload_closes_the_connection(broker: Broker, wire: Wire) -> None:
    most = wire.info["max_payload"]
    wire.sub("big")
    wire.pub("big", b"x" * most)
    assert len(wire.message().payload) == most
    wire.send(f"PUB big {most + 1}\r\n")
    assert wire.closed()
    assert wire.unread == b"-ERR 'Maximum Payload Violation'\r\n"


def test_headers_count_toward_max_payload(broker: Broker, wire: Wire) -> None:
    most = wire.info["max_payload"]
    wire.sub("big")
    wire.pub("big", b"x" * (most - len(HEADER)), header=HEADER)
    assert len(wire.message().payload) == most - len(HEADER)
    wire.send(f"HPUB big {len(HEADER)} {most + 1}\r\n")
    assert wire.closed()
    assert wire.unread == b"-ERR 'Maximum Payload Violation'\r\n"


def test_control_line_over_its_maximum_closes_the_connection(wire: Wire) -> None:
    subject = "a" * 4000
    wire.sub(subject)
    wire.pub(subject, "x")
    assert wire.message().subject == subject
    wire.send("SUB " + "a" * 5000 + " 1\r\n")
    assert wire.closed()
    assert wire.unread.lower() == b"-err 'maximum control line exceeded'\r\n"


@pytest.mark.parametrize(
    "data",
    [
        "NONSENSE\r\n",
        "GET / HTTP/1.1\r\n",
        "\r\n",
        "\x00",
        "PUBX a 1\r\nx\r\n",
        "P0NG\r\n",
        "PUB\r\n",
        "SUB\r\n",
    ],
)
def test_unknown_operation_closes_the_connection(wire: Wire, data: str) -> None:
    wire.send(data)
    assert wire.closed()
    assert wire.unread == b"-ERR 'Unknown Protocol Operation'\r\n"


@pytest.mark.parametrize(
    "data",
    [
        "PUB a\r\n",
        "PUB a b c d\r\n",
        "PUB a x\r\n",
        "PUB a -1\r\n",
        "HPUB a 5\r\n",
        "HPUB a 6 5\r\nhello\r\n",
        "SUB a\r\n",
        "SUB a b c d\r\n",
        "PUB a 99999999999999999999\r\n",
        'CONNECT {"verbose":\r\n',
        "CONNECT []\r\n",
    ],
)
def test_malformed_arguments_close_the_connection_without_an_error(
    broker: Broker, wire: Wire, data: str
) -> None:
    wire.send(data)
    assert wire.closed()
    assert wire.unread == b""
    with Wire(broker.port) as other:
        other.ping()


def test_operations_before_a_protocol_error_are_done(broker: Broker, wire: Wire) -> None:
    wire.sub("before")
    wire.ping()
    with Wire(broker.port) as other:
        other.send("PUB before 1\r\nx\r\nNONSENSE\r\nPUB before 1\r\ny\r\n")
        assert other.closed()
    assert wire.message().payload == b"x"
    assert wire.silent(0.02)


def test_nats_py_publishes_subscribes_and_requests(broker: Broker) -> None:
    async def run() -> None:
        client: Client = await connect(broker.url)
        other: Client = await connect(broker.url)
        seen: list[Msg] = []

        async def respond(message: Msg) -> None:
            seen.append(message)
            await message.respond(message.data.upper())

        await other.subscribe("service.*", queue="q", cb=respond)
        await other.flush()
        for n in range(20):
            answer = await client.request("service.a", b"n%d" % n, headers={"K": "v"})
            assert answer.data == b"N%d" % n
        assert [m.headers for m in seen] == [{"K": "v"}] * 20
        with pytest.raises(NoRespondersError):
            await client.request("service")
        subscription = await client.subscribe("stream.>")
        await subscription.unsubscribe(limit=3)
        await client.flush()
        for n in range(5):
            await other.publish("stream.a", b"%d" % n)
        await other.flush()
        assert [(await subscription.next_msg(WAIT_SECONDS)).data for _ in range(3)] == [b"0", b"1", b"2"]
        await other.drain()
        await client.close()

    asyncio.run(run())


def test_connect_accepts_known_and_unknown_fields(broker: Broker) -> None:
    options = {
        "name": "é",
        "lang": "c",
        "version": "1",
        "protocol": 1,
        "jwt": "",
        "sig": "x",
        "nkey": "",
        "tls_required": False,
    }
    with Wire(broker.port, options) as wire:
        wire.ping()
        wire.send("CONNECT " + json.dumps({"verbose": True, "unknown": [1]}) + "\r\n")
        assert wire.line() == "+OK"
