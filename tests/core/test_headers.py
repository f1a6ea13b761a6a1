"""Tests of `protocol/headers`: what a block may be, what is removed from it, agreement with a plain model."""

import re
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mq9fast._core.protocol.headers import SENDER_START, sender_block
from mq9fast._core.testing.protocol import read_header_block
from tests.support.in_memory import MANY, Core

VALID, MALFORMED, UNKNOWN, REPEATED, STREAM, EMPTY = range(6)
OPTIONS = {
    b"nats-msg-id": 4,
    b"nats-ttl": 5,
    b"mq9-reply-to": 6,
    b"mq9-correlation-id": 7,
    b"mq9-receipt-to": 8,
    b"mq9-receipt-on": 9,
    b"mq9-delay": 11,
    b"mq9-deliver-at": 12,
}

BROKER_ONLY = re.compile(rb"mq9-(from|deliveries|dead-.*|in-reply-to|receipt)")
FIRST = b"NATS/1.0\r\n"
LINE = re.compile(rb"([!-9;-~]+):([^\r\n]*)\r\n")

Result = tuple[int, bytes, dict[int, bytes]]


def block(*lines: bytes) -> bytes:
    return FIRST + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def model(data: bytes) -> Result:
    """What `read_header_block` returns, line by line."""
    kept, options, at = FIRST, dict[int, bytes](), len(FIRST)
    if not data.startswith(FIRST) or b"\0" in data:
        return MALFORMED, b"", {}
    while data[at:] != b"\r\n":
        line = LINE.match(data, at)
        if line is None:
            return MALFORMED, b"", {}
        name, value, at = line[1].lower(), line[2].strip(b" \t"), line.end()
        if name.startswith(b"nats-expected-"):
            return STREAM, b"", {}
        if BROKER_ONLY.fullmatch(name):
            continue
        if name.startswith(b"mq9-") and name not in OPTIONS:
            return UNKNOWN, b"", {}
        if name in OPTIONS:
            if OPTIONS[name] in options:
                return REPEATED, b"", {}
            if not value:
                return EMPTY, b"", {}
            options[OPTIONS[name]] = value
        kept += line[0]
    return VALID, kept + b"\r\n", options


def test_valid_block_is_stored_as_it_is() -> None:
    for lines in ([], [b"A: b"], [b"A:b"], [b"A:"], [b"A: \xff\x01\t: b "], [b"a: 1", b"A: 2"], [b"Mq9: x"]):
        assert read_header_block(block(*lines)) == (VALID, block(*lines), {})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"N",
        b"\r\n",
        FIRST,
        FIRST + b"\r",
        FIRST + b"\n",
        b"NATS/1.0 \r\n\r\n",
        b"NATS/1.0 503\r\n\r\n",
        b"nats/1.0\r\n\r\n",
        b"NATS/1.1\r\n\r\n",
        b"NATS/1.0\n\n",
        b"NATS/1.0\r\n\n",
        b"NATS/1.0\nA: b\r\n\r\n",
        FIRST + b"A: b\r\n",
        FIRST + b"A: b\r\n\r",
        block(b"A: b") + b"C: d\r\n\r\n",
        block(b"A: b") + b"x",
        block(b"A: b", b"", b"C: d"),
        block(b"A"),
        block(b": b"),
        block(b"A : b"),
        block(b" A: b"),
        block(b"A: b", b" folded"),
        block(b"A: b", b"\tfolded: c"),
        block(b"A: b", b" "),
        block(b"A b: c"),
        block(b"\xc3\xa4: b"),
        block(b"A\x7f: b"),
        block(b"A: b\rC: d"),
        block(b"A: b\nC: d"),
        block(b"A: b\n"),
        block(b"A: b\r"),
        block(b"A\r: b"),
        block(b"A: b\0"),
        block(b"\0A: b"),
        block(b"\rA: b"),
        FIRST + b"A: b\n\r\n",
        FIRST + b"A: b\r\r\n\r\n",
    ],
    ids=repr,
)
def test_other_blocks_are_malformed(data: bytes) -> None:
    assert read_header_block(data) == (MALFORMED, b"", {})


@pytest.mark.parametrize(
    "name",
    [b"Mq9-From", b"Mq9-Deliveries", b"Mq9-Dead-From", b"Mq9-Dead-", b"Mq9-In-Reply-To", b"Mq9-Receipt"],
)
@pytest.mark.parametrize("spell", [bytes, bytes.lower, bytes.upper, bytes.swapcase])
def test_what_only_the_broker_writes_is_removed(name: bytes, spell: Callable[[bytes], bytes]) -> None:
    forged = spell(name) + b": forged"
    for lines, kept in (
        ([forged], []),
        ([forged, forged, forged], []),
        ([forged, b"A: b"], [b"A: b"]),
        ([b"A: b", forged, b"C: d", forged, b"E: f", forged], [b"A: b", b"C: d", b"E: f"]),
        ([b"A: " + forged, spell(name) + b":"], [b"A: " + forged]),
    ):
        assert read_header_block(block(*lines)) == (VALID, block(*kept), {})


@pytest.mark.parametrize(
    "name", [b"Mq9-", b"mq9-x", b"MQ9-FROM-", b"Mq9-Froms", b"Mq9-Dead", b"Mq9-Receipts"]
)
def test_other_names_that_begin_with_mq9_are_unknown(name: bytes) -> None:
    assert read_header_block(block(b"A: b", name + b": x"))[0] == UNKNOWN
    assert read_header_block(block(b"X-" + name + b": x"))[0] == VALID


def test_options_are_read_and_stored() -> None:
    lines = [b"mq9-from: x", b"NATS-MSG-ID: \t one  two\t", b"A: b", b"Mq9-Deliveries: 1", b"nats-ttl:1"]
    assert read_header_block(block(*lines)) == (
        VALID,
        block(lines[1], lines[2], lines[4]),
        {4: b"one  two", 5: b"1"},
    )


@pytest.mark.parametrize("value", [b"", b" ", b"\t \t"])
def test_option_has_a_value(value: bytes) -> None:
    assert read_header_block(block(b"A:", b"Nats-TTL:" + value))[0] == EMPTY


def test_option_may_be_given_once() -> None:
    assert read_header_block(block(b"Nats-Msg-Id: 1", b"nats-MSG-id: 1"))[0] == REPEATED


NAMES = [
    *(
        b"A",
        b"B-c",
        b"Mq9",
        b"Mq9-",
        b"Mq9-X",
        b"Nats-",
        b"Nats-Msg-Id",
        b"Nats-TTL",
        b"Nats-Expected-Stream",
    ),
    *(b"Nats-Expected", b"Mq9-From", b"Mq9-From ", b" Mq9-From", b"Mq9-Deliveries", b"Mq9-Dead-Text"),
    *(b"Mq9-Delay", b"Mq9-Deliver-At", b"Mq9-Delays"),
    *(b"Mq9-Dead", b"Mq9-In-Reply-To", b"Mq9-Receipt", b"Mq9-Receipt-To", b"Mq9-Reply-To", b"M", b"n", b""),
]
SPELT = st.tuples(
    st.sampled_from(NAMES), st.sampled_from([bytes, bytes.lower, bytes.upper, bytes.swapcase])
).map(lambda pair: pair[1](pair[0]))
VALUES = st.one_of(st.binary(max_size=8), st.sampled_from([b" x", b" \t", b" Mq9-From: x", b"\xff", b""]))
ENDS = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"\r\r\n", b"\r\n ", b"\n\r\n", b"\0\r\n", b""])
LINES = st.tuples(SPELT, st.sampled_from([b":"] * 8 + [b" :", b"", b"::"]), VALUES, ENDS).map(b"".join)
BLOCKS = st.one_of(
    st.tuples(
        st.sampled_from([FIRST] * 10 + [b"NATS/1.0\n", b"NATS/1.0 200\r\n", b"nats/1.0\r\n", b""]),
        st.lists(LINES, max_size=6).map(b"".join),
        st.sampled_from([b"\r\n"] * 8 + [b"\n", b"", b"\r", b"\r\n\r\n", b"\r\nx"]),
    ).map(b"".join),
    st.binary(max_size=40),
)


@MANY
@given(data=BLOCKS)
@example(data=block(b"Mq9-From: a", b"Nats-Msg-Id: 1", b"mQ9-fROM: b", b"Nats-Msg-Id: 2"))
@example(data=block(b"Mq9-Dead-:\t\t", b"nats-ttl:\t \t"))
def test_reader_agrees_with_the_model(data: bytes) -> None:
    assert read_header_block(data) == model(data)


@MANY
@given(lines=st.lists(st.tuples(SPELT, st.just(b": "), st.binary(max_size=6)).map(b"".join), max_size=8))
def test_valid_lines_agree_with_the_model(lines: list[bytes]) -> None:
    """Blocks that are mostly valid, so that much is removed."""
    data = block(*lines)
    found = read_header_block(data)
    assert found == model(data)
    if found[0] == VALID:
        # What is stored is valid itself, and has nothing left to remove.
        assert read_header_block(found[1]) == found


def test_sender_block_begins_with_its_start() -> None:
    assert sender_block("żółw".encode()) == SENDER_START + "żółw\r\n\r\n".encode()


def test_message_behind_removed_headers_is_intact() -> None:
    """Removing headers changes the buffer in place, and the messages behind it are not parsed yet."""
    core = Core()
    core.create(b"box")
    forged = block(b"Mq9-From: boss", b"A: b", b"mq9-from: boss")
    frames = b"".join(
        b"HPUB $mq9.AI.MAILBOX.MSG.box %d %d\r\n%b%d\r\n" % (len(forged), len(forged) + 1, forged, n)
        for n in range(9)
    )
    for most in (1 << 20, 50, 7):
        core.session().feed(frames, most)
    core.end_turn()
    reader = core.session()
    reader.feed(b"SUB $mq9.AI.MAILBOX.MSG.box 1\r\n")
    output = reader.after_turn()
    bodies = re.findall(rb"HMSG \S+ 1 \S+ 18 19\r\nNATS/1\.0\r\nA: b\r\n\r\n(\d)\r\n", output)
    assert bodies == [b"%d" % n for n in range(9)] * 3
    assert b"boss" not in output
