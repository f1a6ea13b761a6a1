"""NATS over WebSocket: upgrade, frames and goodbyes, as nats-server has them; then limits and stopping."""

import re
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mq9fast.errors import StartError
from mq9fast.upgrade import Origins
from tests.fault.load import READ_SECONDS, frames, publish_many
from tests.harness import MAILBOX, START_SECONDS, Broker, Wire, wait_until
from tests.test_start import refused
from tests.webwire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, WebWire, frame, request
from tests.wire.test_wire import NATS_SERVER, NatsServer

Start = Callable[..., Broker]
SERVERS = ["mq9fast", "nats-server"]
MEGABYTE = 1 << 20
ORIGINS = "https://Good.example, http://plain.example:8080"
NATS_LINE = re.compile(r"Listening for websocket clients on wss?://.*:(\d+)\n")


class Ports(NamedTuple):
    """The WebSocket ports of one server: open to all, and with origins, a token and short patience."""

    open: int
    strict: int


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def ports(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    """Two brokers of ours, or two real nats-servers with the same settings."""
    directory = tmp_path_factory.mktemp(server)
    if server == "mq9fast":
        strict = ("--token", "secret", "--auth-timeout", "0.5", "--ws-origins", ORIGINS)
        brokers = [
            Broker(directory / "open", "--ws-port", "0"),
            Broker(
                directory / "strict", "--ws-port", "0", *strict, "--ping-interval", "0.3", "--ping-max", "1"
            ),
        ]
        yield Ports(*(broker.ws_port for broker in brokers))
        for broker in brokers:
            broker.end()
        return
    if NATS_SERVER is None:
        pytest.skip("there is no nats-server")
    allowed = ", ".join(f'"{origin.strip()}"' for origin in ORIGINS.split(","))
    with_websocket = 'listen: "127.0.0.1:-1", no_tls: true'
    sets = [
        {"websocket": f"{{ {with_websocket} }}"},
        {
            "websocket": f"{{ {with_websocket}, allowed_origins: [{allowed}] }}",
            "token": "secret",
            "auth_timeout": "0.5",
            "ping_interval": "0.3",
            "ping_max": "1",
        },
    ]
    found, servers = [], []
    for number, options in enumerate(sets):
        path = directory / str(number)
        path.mkdir()
        servers.append(NatsServer(path, options))
        log = servers[-1].log
        wait_until(lambda log=log: NATS_LINE.search(log.read_text()), START_SECONDS)
        found.append(int(NATS_LINE.findall(log.read_text())[0]))
    yield Ports(*found)
    for nats_server in servers:
        nats_server.end()


@pytest.fixture(scope="module")
def ws_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("ws") / "data", "--ws-port", "0")
    yield broker
    broker.end()


@pytest.fixture
def web(ws_broker: Broker) -> Iterator[WebWire]:
    with WebWire(ws_broker.ws_port) as wire:
        yield wire


def answer(port: int, data: bytes) -> bytes:
    """The head of what a server says to `data`, "" if it closes without a word."""
    with socket.create_connection(("127.0.0.1", port), timeout=READ_SECONDS) as peer:
        peer.sendall(data)
        said = b""
        while b"\r\n\r\n" not in said and (more := peer.recv(65536)):
            said += more
    return said


def status(port: int, data: bytes) -> int:
    """The HTTP status, 0 if there is none."""
    return int((answer(port, data).split() or [b"", b"0"])[1])


# The upgrade.

UPGRADES = {
    "as it should be": (request(), 101),
    "any path": (request("GET /some/where?x=1 HTTP/1.1"), 101),
    "HTTP/1.0": (request("GET / HTTP/1.0"), 101),
    "in lists, in capitals": (request(Connection="keep-alive, UPGRADE", Upgrade="WebSocket"), 101),
    "an unknown protocol": (request(Sec_WebSocket_Protocol="soap"), 101),
    "compression, which is not on": (request(Sec_WebSocket_Extensions="permessage-deflate"), 101),
    "any origin": (request(Origin="https://evil.example"), 101),
    "an origin that is none": (request(Origin="null"), 101),
    "POST": (request("POST / HTTP/1.1"), 405),
    "HEAD": (request("HEAD / HTTP/1.1"), 405),
    "no Host": (request(Host=None), 400),
    "no Host in HTTP/1.0": (request("GET / HTTP/1.0", Host=None), 400),
    "no Upgrade": (request(Upgrade=None), 400),
    "Upgrade to something else": (request(Upgrade="h2c"), 400),
    "no Connection": (request(Connection=None), 400),
    "Connection: close": (request(Connection="close"), 400),
    "no key": (request(Sec_WebSocket_Key=None), 400),
    "an empty key": (request(Sec_WebSocket_Key=""), 400),
    "a key that is no base64": (request(Sec_WebSocket_Key="!" * 24), 400),
    "a key that is too short": (request(Sec_WebSocket_Key="eHl6"), 400),
    "no version": (request(Sec_WebSocket_Version=None), 400),
    "another version": (request(Sec_WebSocket_Version="8"), 400),
    "no HTTP": (b"PING\r\n\r\n", 400),
    "the path of MQTT": (request("GET /mqtt HTTP/1.1"), 404),
}


@pytest.mark.parametrize("name", UPGRADES)
def test_an_upgrade_is_taken_or_refused_as_by_nats_server(ports: Ports, name: str) -> None:
    data, expected = UPGRADES[name]
    assert status(ports.open, data) == expected


def test_a_taken_upgrade_is_answered_alike(ports: Ports) -> None:
    said = answer(ports.open, request(Sec_WebSocket_Extensions="permessage-deflate")).lower()
    lines = said.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert sorted(lines) == [
        b"connection: upgrade",
        b"http/1.1 101 switching protocols",
        b"sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=",
        b"upgrade: websocket",
    ]


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (None, 101),
        ("https://good.example", 101),
        ("https://GOOD.example:443", 101),
        ("http://plain.example:8080", 101),
        ("http://good.example", 403),
        ("https://good.example:444", 403),
        ("https://good.example.evil.example", 403),
        ("http://plain.example", 403),
        ("https://evil.example", 403),
        ("null", 403),
        ("https://[", 403),
    ],
)
def test_origins_are_allowed_as_by_nats_server(ports: Ports, origin: str | None, expected: int) -> None:
    assert status(ports.strict, request(Origin=origin)) == expected


def test_info_says_what_nats_servers_does(ports: Ports) -> None:
    with WebWire(ports.open, None) as wire:
        assert (wire.info["host"], wire.info["port"]) == ("127.0.0.1", ports.open)
        assert wire.info["client_ip"] == "127.0.0.1"
        assert not wire.info.get("tls_required")
        assert not wire.info.get("auth_required")
        assert "connect_urls" not in wire.info
        assert "ws_connect_urls" not in wire.info
    with WebWire(ports.strict, None) as wire:
        assert wire.info["auth_required"] is True


def test_other_ways_in_are_not_told_to_websockets(start_broker: Start) -> None:
    """They are addresses of the other port, which a page could do nothing with."""
    broker = start_broker("--ws-port", "0", "--advertise", "192.0.2.1:4222")
    with Wire(broker.port) as plain, WebWire(broker.ws_port) as web:
        assert plain.info["connect_urls"] == ["192.0.2.1:4222"]
        assert "connect_urls" not in web.info


def test_what_comes_with_the_upgrade_is_refused(ws_broker: Broker) -> None:
    for rest in (frame(BINARY, b"PING\r\n"), b"x"):
        assert status(ws_broker.ws_port, request() + rest) == 400
    assert status(ws_broker.ws_port, request(Content_Length="3") + b"abc") == 400
    assert status(ws_broker.ws_port, request(Transfer_Encoding="chunked") + b"0\r\n\r\n") in {101, 400}


def test_an_upgrade_may_come_byte_by_byte(ws_broker: Broker) -> None:
    with socket.create_connection(("127.0.0.1", ws_broker.ws_port), timeout=READ_SECONDS) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request():
            peer.sendall(bytes([byte]))
        said = b""
        while b"INFO " not in said:
            said += peer.recv(65536)
        assert said.startswith(b"HTTP/1.1 101 ")


def test_a_head_without_end_is_refused(ws_broker: Broker) -> None:
    assert status(ws_broker.ws_port, request(X_Long="x" * 100_000)) == 431


def test_who_does_not_finish_its_upgrade_is_dropped(start_broker: Start) -> None:
    broker = start_broker("--ws-port", "0", "--auth-timeout", "0.3")
    peers = [socket.create_connection(("127.0.0.1", broker.ws_port), timeout=READ_SECONDS) for _ in range(3)]
    peers[1].sendall(b"GET / HT")
    peers[2].sendall(request()[:-2])
    for peer in peers:
        with peer:
            assert silent_end(peer)
    with WebWire(broker.ws_port) as wire:
        time.sleep(0.5)
        wire.ping()


def silent_end(peer: socket.socket) -> bool:
    """Whether a peer is closed on without a word."""
    try:
        return peer.recv(65536) == b""
    except ConnectionError:
        return True


@given(st.text(st.characters(codec="latin-1"), max_size=40))
@settings(max_examples=300)
def test_no_origin_upsets_the_list(origin: str) -> None:
    origins = Origins(ORIGINS)
    for text in (origin, f"https://{origin}", f"https://good.example{origin}"):
        assert not origins.allow(text) or "good.example" in text.lower() or "plain.example" in text.lower()


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_no_bytes_upset_the_upgrade(ws_broker: Broker, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", ws_broker.ws_port), timeout=READ_SECONDS) as peer:
        peer.sendall(data + b"\r\n\r\n")
        peer.shutdown(socket.SHUT_WR)
        try:
            said = peer.recv(65536)
        except ConnectionError:
            said = b""
        assert said[:12] in {b"", b"HTTP/1.1 400"} or said.startswith(b"HTTP/1.1 4")


# Frames.

LAST_PING = frame(BINARY, b"PING\r\n")
PONG_LINE = b"PONG\r\n"
GOOD_FRAMES = {
    "binary": ([frame(BINARY, b"PING\r\n")], PONG_LINE),
    "text": ([frame(TEXT, b"PING\r\n")], PONG_LINE),
    "two operations in one": ([frame(BINARY, b"PING\r\nPING\r\n")], PONG_LINE * 2),
    "an operation in two messages": ([frame(BINARY, b"PI"), frame(TEXT, b"NG\r\n")], PONG_LINE),
    "an operation in fragments": (
        [frame(BINARY, b"PI", final=False), frame(CONTINUATION, b"NG", final=False), frame(0, b"\r\n")],
        PONG_LINE,
    ),
    "empty frames": (
        [
            *(frame(BINARY), frame(BINARY, final=False), frame(CONTINUATION, final=False)),
            *(frame(CONTINUATION), frame(TEXT, b"PING\r\n")),
        ],
        PONG_LINE,
    ),
    "a ping amid fragments": (
        [frame(BINARY, b"PI", final=False), frame(PING, b"x"), frame(CONTINUATION, b"NG\r\n")],
        PONG_LINE,
    ),
    "a pong that nobody asked for": ([frame(PONG, b"x"), LAST_PING], PONG_LINE),
}


@pytest.mark.parametrize("name", GOOD_FRAMES)
def test_frames_are_taken_as_by_nats_server(ports: Ports, name: str) -> None:
    sent, expected = GOOD_FRAMES[name]
    with WebWire(ports.open) as wire:
        wire.frames(*sent)
        assert wire.take(len(expected)) == expected
        wire.ping()


def test_a_ping_is_answered_with_what_it_brought(ports: Ports) -> None:
    with WebWire(ports.open) as wire:
        wire.frames(frame(PING, b"x" * 125), LAST_PING)
        wire.ping() if wire.line() == "PONG" else None
        assert wire.socket.pongs == [b"x" * 125]


def closing(port: int, *sent: bytes, connect: dict[str, str] | None = None) -> WebWire:
    """A connection that was closed on after `sent`, with what it heard in `unread` and `goodbye`."""
    with WebWire(port, connect) as wire:
        wire.frames(*sent)
        assert wire.closed(READ_SECONDS)
        return wire


BAD_FRAMES = {
    "unmasked": ([frame(BINARY, b"PING\r\n", masked=False)], 1002),
    "reserved bit 1": ([frame(BINARY | 0x40, b"PING\r\n")], 1002),
    "reserved bit 2": ([frame(BINARY | 0x20, b"PING\r\n")], 1002),
    "unknown data": ([frame(0x3, b"x")], 1002),
    "unknown control": ([frame(0xB, b"x")], 1002),
    "the rest of nothing": ([frame(CONTINUATION, b"PING\r\n")], 1002),
    "a message amid another": ([frame(BINARY, b"PI", final=False), frame(BINARY, b"NG\r\n")], 1002),
    "a ping in fragments": ([frame(PING, b"x", final=False)], 1002),
    "a ping that is too long": ([frame(PING, b"x" * 126)], 1002),
    "a size past all bounds": ([frame(BINARY, b"PING\r\n", size=2**64 - 1)], 1002),
    "a goodbye": ([frame(CLOSE, struct.pack("!H", 1000) + b"bye")], 1000),
    "a goodbye of the peer's own": ([frame(CLOSE, struct.pack("!H", 4000))], 4000),
    "a goodbye without a code": ([frame(CLOSE)], 1005),
    "a goodbye with a bad reason": ([frame(CLOSE, struct.pack("!H", 1000) + b"\xff")], 1007),
    "no protocol": ([frame(BINARY, b"-ERR 'x'\r\n")], 1002),
    "a long line": ([frame(BINARY, b"PUB " + b"a" * 5000)], 1008),
    "a large message": ([frame(BINARY, b'CONNECT {"verbose":false}\r\nPUB a 2000000\r\n')], 1009),
    "a strange CONNECT": ([frame(BINARY, b'CONNECT {"protocol":5}\r\n')], 1002),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_connections_are_closed_as_by_nats_server(server: str, ports: Ports, name: str) -> None:
    sent, code = BAD_FRAMES[name]
    wire = closing(ports.open, *sent)
    # nats-server does not always get to say goodbye.
    if server == "mq9fast" or wire.socket.goodbye is not None:
        assert wire.goodbye[0] == code
    assert b"PONG" not in wire.unread
    with WebWire(ports.open) as other:
        other.ping()


LAST_WORDS = {
    "a wrong token": (frame(BINARY, b'CONNECT {"auth_token":"x"}\r\n'), b"Authorization Violation", 1008),
    "something before CONNECT": (LAST_PING, b"Authorization Violation", 1008),
    "no CONNECT": (b"", b"Authentication Timeout", 1008),
    "no word": (frame(BINARY, b'CONNECT {"auth_token":"secret"}\r\n'), b"Stale Connection", 1001),
}


@pytest.mark.parametrize("name", LAST_WORDS)
def test_last_words_come_before_the_goodbye(server: str, ports: Ports, name: str) -> None:
    sent, words, code = LAST_WORDS[name]
    wire = closing(ports.strict, sent)
    assert wire.unread.endswith(b"-ERR '" + words + b"'\r\n")
    if server == "mq9fast" or wire.socket.goodbye is not None:
        assert wire.goodbye[0] == code


def test_what_nats_server_takes_against_the_rules_is_refused(ws_broker: Broker) -> None:
    assert closing(ws_broker.ws_port, frame(TEXT, b"PUB a 1\r\n\xff\r\n")).goodbye[0] == 1007
    longer_than_needed = b"\x82\xfe\x00\x06" + bytes(4) + b"PING\r\n"
    assert closing(ws_broker.ws_port, longer_than_needed).goodbye[0] == 1002


@pytest.mark.parametrize("payload", [b"x", struct.pack("!H", 1005), struct.pack("!H", 999)])
def test_a_goodbye_that_means_nothing_is_an_error(ws_broker: Broker, payload: bytes) -> None:
    assert closing(ws_broker.ws_port, frame(CLOSE, payload)).goodbye[0] == 1002


def test_what_was_asked_before_the_goodbye_is_answered(ports: Ports) -> None:
    with WebWire(ports.open) as wire:
        wire.frames(frame(BINARY, b"SUB a 1\r\nPUB a 1\r\nx\r\n"), frame(CLOSE, struct.pack("!H", 1000)))
        assert wire.closed(READ_SECONDS)
        assert wire.unread == b"MSG a 1 1\r\nx\r\n"


def test_nothing_is_taken_after_the_goodbye(ws_broker: Broker) -> None:
    with WebWire(ws_broker.ws_port) as other:
        other.sub("after")
        other.ping()
        late = frame(BINARY, b"PUB after 1\r\nx\r\n")
        closing(ws_broker.ws_port, frame(CLOSE, struct.pack("!H", 1000)), late)
        closing(ws_broker.ws_port, frame(BINARY, b"", masked=False), late)
        other.ping()
        assert not other.waiting


# Frames, however cut.

SESSION = (
    b"SUB s 1\r\nPUB s 5\r\nhello\r\nHPUB s 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPUB s 0\r\n\r\nUNSUB 1\r\nPING\r\n"
)
HEARD = b"MSG s 1 5\r\nhello\r\nHMSG s 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\nMSG s 1 0\r\n\r\nPONG\r\n"


@pytest.mark.parametrize("opcode", [BINARY, TEXT])
def test_a_message_may_be_cut_anywhere(ws_broker: Broker, opcode: int) -> None:
    with WebWire(ws_broker.ws_port) as wire:
        for at in range(len(SESSION) + 1):
            wire.frames(frame(opcode, SESSION[:at], final=False), frame(CONTINUATION, SESSION[at:]))
            assert wire.take(len(HEARD)) == HEARD
            wire.frames(frame(opcode, SESSION[:at]))
            wire.frames(frame(opcode, SESSION[at:]))
            assert wire.take(len(HEARD)) == HEARD
        whole = frame(opcode, SESSION)
        for at in range(len(whole)):
            wire.frames(whole[:at])
            wire.frames(whole[at:])
            assert wire.take(len(HEARD)) == HEARD


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_any_frames_that_hold_a_session_are_that_session(ws_broker: Broker, data: st.DataObject) -> None:
    """Its bytes in any frames, of any kind, with pings between them, and those frames in any packets."""
    stream = SESSION * data.draw(st.integers(1, 5), "sessions")
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=20), "cuts"))
    sent, pings, open_message = [], 0, False
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        opcode = CONTINUATION if open_message else data.draw(st.sampled_from([BINARY, TEXT]))
        final = end == len(stream) or data.draw(st.booleans())
        sent.append(frame(opcode, stream[start:end], final=final))
        open_message = not final
        if data.draw(st.booleans()):
            sent.append(frame(PING, b"%d" % pings))
            pings += 1
    wire_bytes = b"".join(sent)
    packets = sorted(data.draw(st.sets(st.integers(0, len(wire_bytes)), max_size=10), "packets"))
    with WebWire(ws_broker.ws_port) as wire:
        for start, end in zip([0, *packets], [*packets, len(wire_bytes)], strict=True):
            wire.frames(wire_bytes[start:end])
        expected = HEARD * (len(stream) // len(SESSION))
        assert wire.take(len(expected)) == expected
        wire.ping()
        assert wire.socket.pongs == sorted(set(wire.socket.pongs), key=int)
        assert wire.socket.pongs[-1:] == ([b"%d" % (pings - 1)] if pings else [])


@given(st.lists(st.binary(max_size=40), max_size=10))
@settings(max_examples=200, deadline=None)
def test_no_frames_upset_the_broker(ws_broker: Broker, junk: list[bytes]) -> None:
    with WebWire(ws_broker.ws_port, None) as wire:
        wire.frames(*junk)
        wire.socket.raw.shutdown(socket.SHUT_WR)
        assert wire.closed(READ_SECONDS)


def test_what_follows_a_password_that_takes_time_waits_for_it(start_broker: Start, tmp_path: Path) -> None:
    """Checking a hash is no matter of one turn; what came meanwhile, in any number of reads, is not lost."""
    hashed = bcrypt.hashpw(b"slow", bcrypt.gensalt(10)).decode()
    config = tmp_path / "mq9.toml"
    config.write_text(f'[[users]]\nuser = "ann"\npassword = "{hashed}"\n')
    connect = b'CONNECT {"user":"ann","pass":"%s","verbose":false,"headers":true}\r\n'
    flood = b"PUB nobody 1000\r\n" + b"x" * 1000 + b"\r\n"
    broker = start_broker("--ws-port", "0", "--config", str(config))
    with WebWire(broker.ws_port, None) as wire, WebWire(broker.ws_port, None) as wrong:
        wire.frames(frame(BINARY, connect % b"slow" + SESSION[:10]), frame(BINARY, SESSION[10:]))
        wrong.frames(frame(BINARY, connect % b"Slow" + SESSION))
        for _ in range(5):
            wire.frames(*[frame(BINARY, flood * 10 + flood[:7]), frame(TEXT, flood[7:])] * 50)
        assert wire.take(len(HEARD), READ_SECONDS) == HEARD
        wire.ping(READ_SECONDS)
        assert wrong.closed(READ_SECONDS)
        assert wrong.unread == b"-ERR 'Authorization Violation'\r\n"


# What goes out.


def test_a_turn_is_one_message(ws_broker: Broker, web: WebWire) -> None:
    with Wire(ws_broker.port) as sender:
        web.sub("many")
        web.ping()
        before = web.socket.messages
        sender.send("PUB many 5\r\nhello\r\n" * 1000)
        assert {message.payload for message in web.messages(1000)} == {b"hello"}
        assert web.socket.messages - before < 20


@pytest.mark.parametrize("size", [0, 110, 111, 112, 125, 126, 65_000, 65_535, 65_536, 200_000, 1_000_000])
def test_messages_of_every_size_arrive(web: WebWire, size: int) -> None:
    payload = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    web.sub("sizes", "9")
    web.pub("sizes", payload)
    assert web.message(READ_SECONDS).payload == payload


def test_all_four_commands_and_the_order_of_priorities(ws_broker: Broker, web: WebWire, address: str) -> None:
    assert web.create(name=address)["is_new"]
    for rank in ("", ".urgent", ".critical", ""):
        web.msg(address + rank, rank)
    with WebWire(ws_broker.ws_port) as reader:
        reader.read_along(address)
        got = reader.messages(4)
        assert [message.msg_id for message in got] == [2, 1, 0, 3]
        reader.pub(got[0].reply)
        wait_until(lambda: web.list(address)["total"] == 3)
        assert reader.delete(address, 1) == {"deleted": True}
        assert [message["msg_id"] for message in web.list(address)["messages"]] == [0, 3]


def test_clients_of_both_ports_meet(ws_broker: Broker, web: WebWire) -> None:
    with Wire(ws_broker.port) as plain:
        web.sub("both")
        web.ping()
        plain.pub("both", "from tcp", reply="answers")
        plain.sub("answers")
        plain.ping()
        message = web.message()
        assert message.payload == b"from tcp"
        web.pub(message.reply, "from the web")
        assert plain.message().payload == b"from the web"


# Limits and back-pressure.


def test_max_connections_counts_both_kinds(start_broker: Start) -> None:
    broker = start_broker("--ws-port", "0", "--max-connections", "2")
    with Wire(broker.port) as plain, WebWire(broker.ws_port) as web:
        with WebWire(broker.ws_port, None) as one_too_many:
            assert one_too_many.info["port"] == broker.ws_port
            assert one_too_many.closed()
            assert one_too_many.unread == b"-ERR 'maximum connections exceeded'\r\n"
            assert one_too_many.goodbye == (1008, "Maximum Connections Exceeded")
        with Wire(broker.port, None) as one_too_many_too:
            assert one_too_many_too.closed()
        plain.ping()
        web.ping()


def test_no_more_upgrades_at_a_time_than_connections(start_broker: Start) -> None:
    broker = start_broker("--ws-port", "0", "--max-connections", "100", "--auth-timeout", "60")
    peers = [
        socket.create_connection(("127.0.0.1", broker.ws_port), timeout=READ_SECONDS) for _ in range(101)
    ]
    with peers.pop() as last:
        assert silent_end(last)
    with Wire(broker.port, None) as refused:
        assert refused.closed()
        assert refused.unread == b"-ERR 'maximum connections exceeded'\r\n"
    peers.pop().close()

    def taken() -> bool:
        try:
            with WebWire(broker.ws_port) as wire:
                wire.ping()
        except (EOFError, ConnectionError):
            return False
        return True

    wait_until(taken)
    for peer in peers:
        peer.close()


def test_a_frame_of_any_size_costs_no_memory(start_broker: Start) -> None:
    """One message of 60 MB, which says to be of 4 EB: what is in it counts, and is handled as it comes."""
    broker = start_broker("--ws-port", "0")
    with WebWire(broker.ws_port) as wire:
        before = broker.rss_bytes
        wire.frames(frame(BINARY, b"", size=2**62))
        # The frame's key repeats every four bytes, and this is as long.
        piece = frame(BINARY, b"PUB none 984\r\n" + b"x" * 984 + b"\r\n")[8:]
        assert len(piece) % 4 == 0
        for _ in range(60):
            wire.frames(piece * 1000)
        wire.frames(frame(BINARY, b"PING\r\n")[6:])
        assert wire.line(READ_SECONDS) == "PONG"
        assert broker.rss_bytes - before < 10 * MEGABYTE


def test_pings_to_one_that_does_not_read_cost_no_memory(start_broker: Start) -> None:
    broker = start_broker("--ws-port", "0", "--max-pending", str(MEGABYTE))
    with WebWire(broker.ws_port, receive_bytes=65536) as deaf, WebWire(broker.ws_port) as other:
        other.ping()
        before = broker.rss_bytes
        for _ in range(60):
            deaf.frames(frame(PING, b"x" * 125) * 8000)
        other.ping(READ_SECONDS)
        assert broker.rss_bytes - before < 20 * MEGABYTE
        deaf.ping(READ_SECONDS)
        assert set(deaf.socket.pongs) == {b"x" * 125}


def test_a_reader_of_a_mailbox_that_does_not_read_costs_no_memory_and_loses_nothing(
    start_broker: Start,
) -> None:
    broker = start_broker("--ws-port", "0", "--sync", "never", "--max-pending", str(4 * MEGABYTE))
    count = 150_000
    with WebWire(broker.ws_port, receive_bytes=65536) as slow, Wire(broker.port) as sender:
        sender.create(name="box")
        slow.read_along("box")
        slow.ping()
        before = broker.rss_bytes
        publish_many(sender, "box", count, b"x" * 1000)
        critical = sender.msg("box.critical", "now")["msg_id"]
        # The store has some memory of its own, however much there is in it.
        assert broker.rss_bytes - before < 100 * MEGABYTE
        order = [message.msg_id for message in islice(frames(slow), count + 1)]
        # It overtakes all but what the sockets held already.
        assert order.index(critical) < 10_000
        order.remove(critical)
        assert order == list(range(count))


def test_a_slow_reader_of_a_plain_subject_is_cut_off(start_broker: Start) -> None:
    broker = start_broker("--ws-port", "0", "--max-pending", str(MEGABYTE))
    with WebWire(broker.ws_port, receive_bytes=65536) as slow, Wire(broker.port) as sender:
        slow.sub("flood")
        slow.ping()
        for _ in range(10):
            sender.send(b"PUB flood 1000\r\n%s\r\n" % (b"x" * 1000) * 1000)
        sender.ping(READ_SECONDS)
        assert slow.closed(READ_SECONDS)
        assert slow.unread.endswith(b"-ERR 'Slow Consumer'\r\n")
        assert slow.goodbye == (1008, "Slow Consumer (Pending Bytes)")


def test_senders_over_websocket_are_stalled_alike(start_broker: Start) -> None:
    """What one sends faster than its reader takes it waits in its own socket, and nothing is lost."""
    broker = start_broker("--ws-port", "0", "--max-pending", str(8 * MEGABYTE))
    with Wire(broker.port, receive_bytes=65536) as reader, WebWire(broker.ws_port) as sender:
        reader.sub("flow")
        reader.ping()
        for number in range(5000):
            sender.pub("flow", str(number).rjust(400))
        got = [int(message.payload) for message in islice(frames(reader), 5000)]
        assert got == list(range(5000))


# Starting and stopping.


def test_it_is_off_unless_asked_for(start_broker: Start) -> None:
    assert "WebSocket" not in start_broker().log.read_text()


def test_a_websocket_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = refused("--port", "0", "--ws-port", port, "--data-dir", tmp_path / "data")
    assert port in said
    assert "in use" in said
    Broker(tmp_path / "data").end()


@pytest.mark.parametrize(
    "origin", ["example.org", "https://", "https://a.org/path", "https://a.org:x", "a,,b"]
)
def test_origins_that_are_none_are_named(tmp_path: Path, origin: str) -> None:
    with pytest.raises(StartError, match="ws_origins holds"):
        Origins(origin)
    if origin == "example.org":
        data = ("--data-dir", tmp_path / "data")
        assert "example.org" in refused("--port", "0", "--ws-port", "0", "--ws-origins", origin, *data)


def test_a_port_that_is_open_to_any_page_is_warned_about(start_broker: Start) -> None:
    warning = "any web page"
    assert warning in start_broker("--ws-port", "0").log.read_text()
    for flags in (("--ws-origins", "https://a.org"), ("--token", "secret")):
        assert warning not in start_broker("--ws-port", "0", *flags).log.read_text()
    world = start_broker("--ws-port", "0", "--ws-host", "0.0.0.0")
    wait_until(lambda: "listening on 0.0.0.0 without authentication" in world.log.read_text())


def test_a_stop_says_goodbye_to_all(start_broker: Start) -> None:
    broker = start_broker("--ws-port", "0")
    with WebWire(broker.ws_port) as web, socket.create_connection(("127.0.0.1", broker.ws_port)) as half:
        web.create(name="box")
        web.sub("r")
        half.sendall(b"GET / ")
        web.pub(f"{MAILBOX}MSG.box", "last", reply="r")
        web.ping()
        assert broker.stop() == 0
        assert web.closed()
        heard = b"".join(message.payload for message in web.waiting) + web.unread
        assert b'{"msg_id":0}' in heard
        assert web.goodbye == (1001, "Server Shutdown")
        assert silent_end(half)


def test_a_lame_duck_tells_websockets_too(start_broker: Start) -> None:
    broker = start_broker("--ws-port", "0", "--lame-duck-duration", "0.3")
    with WebWire(broker.ws_port) as web, WebWire(broker.ws_port) as other:
        for wire in (web, other):
            wire.ping()
        broker.process.send_signal(signal.SIGUSR2)
        for wire in (web, other):
            line = wire.line()
            assert '"ldm":true' in line
            assert f'"port":{broker.ws_port}' in line
        with socket.socket() as attempt:
            assert attempt.connect_ex(("127.0.0.1", broker.ws_port)) != 0
        for wire in (web, other):
            assert wire.closed()
            assert wire.unread.endswith(b"-ERR 'Server Shutdown'\r\n")
            assert wire.goodbye == (1001, "Server Shutdown")
    assert broker.process.wait(20) == 0
    broker._close_output()
