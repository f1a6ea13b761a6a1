"""Tests of `websocket/frame_reader`, with wsproto as the oracle: both read the same from any bytes."""

import struct
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from mq9fast._core.testing.websocket import ExposedFrameReader, unmasked
from tests.support.in_memory import MANY, cut
from tests.support.websocket_client import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame

OPCODES = [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG]
CODES = [0, 999, *range(1000, 1017), 1100, 2999, 3000, 4999, 5000, 65535]
CUTS = st.lists(st.integers(0, 1 << 16), max_size=8)


class Read(NamedTuple):
    """What was read: the payload, the last ping, and the code of the close frame that is due, 0 if none."""

    payload: bytes
    ping: bytes | None
    code: int


def read(pieces: list[bytes]) -> Read:
    reader = ExposedFrameReader()
    payload = b"".join(reader.feed(piece) for piece in pieces)
    return Read(payload, reader.take_ping(), reader.close_code)


def read_with_wsproto(pieces: list[bytes]) -> Read:
    frames = Connection(ConnectionType.SERVER)
    payload, ping, code = b"", None, 0
    for piece in pieces:
        if code:
            break
        frames.receive_data(piece)
        for event in frames.events():
            if isinstance(event, BytesMessage):
                payload += event.data
            elif isinstance(event, TextMessage):
                payload += event.data.encode()
            elif isinstance(event, Ping):
                ping = bytes(event.payload)
            elif isinstance(event, CloseConnection):
                code = int(event.code)
    return Read(payload, ping, code)


def check(data: bytes, cuts: list[int]) -> None:
    """Both read the same. A violation ends the message, and neither need give what is before it."""
    pieces = cut(data, *cuts)
    ours = read(pieces)
    # wsproto looks at the order of frames when the first byte behind a header arrives.
    expected = read_with_wsproto([*pieces, b"x"] if ours.code else pieces)
    assert ours.code == expected.code
    if ours.code:
        assert ours.payload.startswith(expected.payload) or expected.payload.startswith(ours.payload)
        return
    assert ours.ping == expected.ping
    # wsproto keeps the beginning of a character until its end arrives.
    assert ours.payload.startswith(expected.payload)
    assert len(ours.payload) - len(expected.payload) < 4


payloads = st.one_of(
    st.binary(max_size=20),
    st.text(max_size=10).map(str.encode),
    st.integers(100, 70_000).map(lambda size: b"x" * size),
    st.builds(lambda code: struct.pack("!H", code) + b"bye", st.sampled_from(CODES)),
)
frames_of_clients = st.builds(
    frame,
    st.sampled_from(OPCODES),
    payloads,
    final=st.booleans(),
)
odd_frames = st.builds(
    frame,
    st.integers(0, 0x7F),
    payloads,
    final=st.booleans(),
    masked=st.booleans(),
    size=st.one_of(st.none(), st.integers(0, 300), st.integers(0, 2**64 - 1)),
)


@settings(max_examples=1000)
@given(st.lists(st.one_of(frames_of_clients, frames_of_clients, odd_frames), max_size=8), CUTS)
def test_any_frames_are_read_as_by_wsproto(frames: list[bytes], cuts: list[int]) -> None:
    check(b"".join(frames), cuts)


@settings(max_examples=1000)
@given(st.binary(max_size=60), CUTS)
@example(b"\x88\x81\x00\x00\x00\x00\x03", [])
@example(b"\x82\xfe\x00\x7d", [])
def test_any_bytes_are_read_as_by_wsproto(data: bytes, cuts: list[int]) -> None:
    check(data, cuts)


@MANY
@given(st.lists(frames_of_clients, min_size=1, max_size=4), st.data())
def test_frames_with_changed_bytes_are_read_as_by_wsproto(frames: list[bytes], data: st.DataObject) -> None:
    changed = bytearray(b"".join(frames))
    heads = min(len(changed), 40) - 1
    for at in data.draw(st.lists(st.integers(0, heads), max_size=4)):
        changed[at] = data.draw(st.integers(0, 255))
    check(bytes(changed), data.draw(CUTS))


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 65_535, 65_536, 200_000])
def test_payloads_of_every_size_under_every_split_of_the_header(size: int) -> None:
    payload = bytes(at % 251 for at in range(size))
    data = frame(PING, b"p") + frame(BINARY, payload) + frame(BINARY, b"after")
    for at in range(min(len(data), 40)):
        assert read([data[:at], data[at:]]) == (payload + b"after", b"p", 0)


def test_every_pair_of_splits_of_a_short_stream() -> None:
    data = frame(TEXT, "aé€😀".encode(), final=False) + frame(PING, b"x") + frame(CONTINUATION, b"yz")
    for first in range(len(data)):
        for second in range(first, len(data)):
            pieces = [data[:first], data[first:second], data[second:]]
            assert read(pieces) == ("aé€😀yz".encode(), b"x", 0)


@MANY
@given(st.binary(max_size=100), CUTS)
def test_text_is_checked_as_by_python(data: bytes, cuts: list[int]) -> None:
    try:
        data.decode()
    except UnicodeDecodeError:
        code = 1007
    else:
        code = 0
    pieces = cut(data, *cuts) or [b""]
    frames = [
        frame(TEXT if at == 0 else CONTINUATION, piece, final=at == len(pieces) - 1)
        for at, piece in enumerate(pieces)
    ]
    assert read(frames).code == code


@pytest.mark.parametrize("first", [*range(0xC0, 0x100), 0x80])
def test_every_second_byte_of_a_character(first: int) -> None:
    for second in range(256):
        data = bytes([first, second]) + b"\x80\x80"
        for size in (2, 3, 4):
            check(frame(TEXT, data[:size]), [])


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("text", [b"", b"bye", b"\xff"])
def test_a_close_frame_is_answered_with_its_code_if_that_may_be_sent(code: int, text: bytes) -> None:
    check(frame(BINARY, b"x") + frame(CLOSE, struct.pack("!H", code) + text) + frame(BINARY, b"y"), [])


def test_a_close_frame_has_the_text_of_the_client() -> None:
    reader = ExposedFrameReader()
    assert reader.close_text is None
    assert reader.feed(frame(BINARY, b"x") + frame(CLOSE, b"\x03\xe8bye") + frame(BINARY, b"y")) == b"x"
    assert (reader.close_code, reader.close_text) == (1000, b"bye")
    assert reader.feed(frame(PING, b"z")) == b""
    assert reader.take_ping() is None


@pytest.mark.parametrize("size", [0, 5, 126, 65_535, 2**63, 2**64 - 1])
def test_a_size_in_more_bytes_than_needed_is_refused(size: int) -> None:
    long = struct.pack("!BBQ", 0x82, 0xFF, size) + b"keys"
    assert read([long]).code == read_with_wsproto([long]).code == 1002
    if size < 126:
        assert read([struct.pack("!BBH", 0x82, 0xFE, size) + b"keys"]).code == 1002


def test_a_frame_of_the_largest_size_is_read_as_it_comes() -> None:
    reader = ExposedFrameReader()
    start = struct.pack("!BBQ", 0x82, 0xFF, 2**63 - 1) + b"\x00\x00\x00\x00"
    assert reader.feed(start + b"abc") == b"abc"
    for _ in range(1000):
        assert reader.feed(b"x" * 1000) == b"x" * 1000
    assert reader.close_code == 0


@MANY
@given(st.binary(max_size=70), st.binary(min_size=4, max_size=4), st.integers(0, 20))
def test_unmasking_in_place_with_a_rotated_key(data: bytes, key: bytes, gap: int) -> None:
    plain, rotated = unmasked(data, key, gap)
    assert plain == bytes(byte ^ key[at % 4] for at, byte in enumerate(data))
    assert rotated == bytes(key[(len(data) + at) % 4] for at in range(4))
