"""Compressed messages (RFC 7692): read as by wsproto, bounded, and within the client's share of a turn."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, TextMessage
from wsproto.extensions import PerMessageDeflate

from mq9fast._core.testing.pubsub import set_turn_ns
from mq9fast._core.testing.websocket import ExposedFrameReader, ExposedFrameWriter
from mq9fast._core.websocket_session import WebSocketSession
from tests.support.in_memory import KIB, MANY, Core, Peer, cut, pub
from tests.support.websocket_client import BINARY, CONTINUATION, PING, TEXT, frame

COMPRESSED = 0x40
LIMIT = 1 << 20
CUTS = st.lists(st.integers(0, 1 << 16), max_size=8)


def deflated(data: bytes, level: int = 1) -> bytes:
    stream = zlib.compressobj(level, zlib.DEFLATED, -15)
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


def compressed_frame(data: bytes, opcode: int = BINARY) -> bytes:
    return frame(opcode | COMPRESSED, deflated(data))


def with_deflate(kind: ConnectionType) -> Connection:
    extension = PerMessageDeflate(client_no_context_takeover=True, server_no_context_takeover=True)
    extension._enabled = True
    return Connection(kind, [extension])


def read(pieces: list[bytes], limit: int = LIMIT) -> tuple[bytes, int]:
    reader = ExposedFrameReader()
    reader.compress(limit)
    return b"".join(reader.feed(piece) for piece in pieces), reader.close_code


def read_with_wsproto(pieces: list[bytes]) -> tuple[bytes, int]:
    frames = with_deflate(ConnectionType.SERVER)
    payload, code = b"", 0
    for piece in pieces:
        if code:
            break
        frames.receive_data(piece)
        for event in frames.events():
            if isinstance(event, BytesMessage):
                payload += event.data
            elif isinstance(event, TextMessage):
                payload += event.data.encode()
            elif isinstance(event, CloseConnection):
                code = int(event.code)
    return payload, code


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """The frames of one message, compressed or not, in fragments with pings between them."""
    text = draw(st.booleans())
    data = draw(st.text(max_size=40)).encode() if text else draw(st.binary(max_size=40))
    data *= draw(st.sampled_from([1, 1, 100, 3000]))
    compresses = draw(st.booleans())
    sent = deflated(data, draw(st.integers(0, 9))) if compresses else data
    opcode = (TEXT if text else BINARY) | (COMPRESSED if compresses else 0)
    pieces = cut(sent, *draw(CUTS)) or [b""]
    frames = []
    for at, piece in enumerate(pieces):
        final = at == len(pieces) - 1
        frames.append(frame(CONTINUATION if at else opcode, piece, final=final))
        # wsproto forgets that a message is compressed when a ping comes between its fragments.
        if (final or not compresses) and draw(st.booleans()):
            frames.append(frame(PING, b"x"))
    return b"".join(frames)


@MANY
@given(st.lists(messages(), max_size=5), CUTS)
def test_any_messages_are_read_as_by_wsproto(sent: list[bytes], cuts: list[int]) -> None:
    pieces = cut(b"".join(sent), *cuts)
    assert read(pieces) == read_with_wsproto(pieces)


@MANY
@given(st.lists(messages(), min_size=1, max_size=3), st.data())
def test_changed_bytes_end_at_most_this_connection(sent: list[bytes], data: st.DataObject) -> None:
    changed = bytearray(b"".join(sent))
    for at in data.draw(st.lists(st.integers(0, len(changed) - 1), max_size=4)):
        changed[at] = data.draw(st.integers(0, 255))
    ours = read(cut(bytes(changed), *data.draw(CUTS)))
    whole = read([bytes(changed)])
    assert ours[1] == whole[1]
    if not ours[1]:
        assert ours == whole


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(BINARY | COMPRESSED, b"\xff\xff\xff"), 1007),
        (frame(TEXT | COMPRESSED, deflated(b"\xff")), 1007),
        (frame(TEXT | COMPRESSED, deflated("é".encode()[:1])), 1007),
        (frame(PING | COMPRESSED, b"x"), 1002),
        (frame(BINARY, b"x", final=False) + frame(CONTINUATION | COMPRESSED, b"y"), 1002),
        (frame(BINARY | 0x60, deflated(b"x")), 1002),
        (compressed_frame(bytes(LIMIT)), 0),
        (compressed_frame(bytes(LIMIT + 1)), 1009),
    ],
)
def test_what_ends_the_connection(sent: bytes, code: int) -> None:
    assert read([sent])[1] == code
    assert read([bytes([byte]) for byte in sent])[1] == code


def test_a_ping_between_the_fragments_of_a_compressed_message() -> None:
    sent, reader = deflated(b"x" * 1000), ExposedFrameReader()
    reader.compress(LIMIT)
    data = (
        frame(BINARY | COMPRESSED, sent[:3], final=False) + frame(PING, b"p") + frame(CONTINUATION, sent[3:])
    )
    assert reader.feed(data) == b"x" * 1000
    assert reader.take_ping() == b"p"


def test_without_negotiation_no_message_is_compressed() -> None:
    reader = ExposedFrameReader()
    reader.feed(compressed_frame(b"x"))
    assert reader.close_code == 1002


@MANY
@given(st.lists(st.one_of(st.binary(max_size=200), st.sampled_from([65, 126, 70_000, 2 << 20]).map(bytes))))
def test_wsproto_reads_what_is_written(parts: list[bytes]) -> None:
    writer, client = ExposedFrameWriter(), with_deflate(ConnectionType.CLIENT)
    writer.compress_messages()
    for part in parts:
        writer.write(part)
        taken = writer.taken()
        client.receive_data(taken)
        received = b"".join(event.data for event in client.events() if isinstance(event, BytesMessage))
        assert received == part
        assert len(taken) <= len(part) + 10
        if part == bytes(70_000):
            assert len(taken) < 1000


def peer_with_compression(core: Core) -> Peer:
    peer = Peer(core, 1, True, session_type=WebSocketSession)
    assert isinstance(peer.session, WebSocketSession)
    peer.session.use_compression()
    return peer


def test_a_bomb_ends_its_connection_with_the_error_of_a_large_message() -> None:
    core = Core()
    peer, other = peer_with_compression(core), core.session()
    peer.feed(compressed_frame(pub(b"a", bytes(10_000)) * 5000))
    for _ in range(2):
        core.end_turn()
    assert peer.connection.closing
    assert peer.session.close_reason == b"Maximum Payload Violation"
    assert 0 < peer.session.in_messages <= 105
    other.feed(b"PING\r\n")
    assert other.output() == b"PONG\r\n"


def test_a_read_of_many_compressed_messages_is_handled_over_several_turns() -> None:
    core = Core(read_bytes=512 * KIB)
    peer, reader = peer_with_compression(core), core.session()
    reader.feed(b"SUB a 1\r\n")
    expected, sent = [], b""
    for number in range(2000):
        payload = b"%d" % number * 50
        expected.append(b"MSG a 1 %d\r\n%b\r\n" % (len(payload), payload))
        sent += (compressed_frame if number % 3 else lambda data: frame(BINARY, data))(pub(b"a", payload))
    set_turn_ns(core.pending_work, 0)
    peer.feed(sent[:300_000])
    assert not peer.connection.reading
    turns = 0
    while not peer.connection.reading:
        core.end_turn()
        turns += 1
    assert turns > 10
    set_turn_ns(core.pending_work, 1 << 60)
    peer.feed(sent[300_000:])
    core.end_turn()
    assert reader.output() == b"".join(expected)
    assert peer.session.in_messages == 2000


def test_what_follows_a_connect_waits_until_it_is_accepted() -> None:
    core = Core()
    peer = peer_with_compression(core)
    peer.session.wait()
    peer.feed(compressed_frame(b"PING\r\n" * 3) + compressed_frame(b"PING\r\n") + frame(BINARY, b"PING\r\n"))
    peer.feed(compressed_frame(b"PING\r\n") + frame(0x8, b"\x03\xe8"))
    assert peer.output() == b""
    peer.session.proceed()
    core.end_turn()
    assert peer.connection.closing
    client = with_deflate(ConnectionType.CLIENT)
    client.receive_data(peer.output())
    received = b"".join(event.data for event in client.events() if isinstance(event, BytesMessage))
    assert received == b"PONG\r\n" * 6
