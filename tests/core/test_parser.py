"""Tests of `protocol/parser`: frames, splits of the stream, limits, agreement with a reference parser."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mq9fast._core.testing.protocol import parse_all
from tests.support.in_memory import MANY, Core, cut

PUB, HPUB, SUB, UNSUB, PING, PONG, CONNECT, IGNORED, ERROR = range(1, 10)
FOUND, NEED_MORE, BAD_VERB, BAD_ARGUMENTS, LINE_TOO_LONG, PAYLOAD_TOO_LARGE = range(6)

Operation = tuple[int, bytes, bytes, bytes, bytes, bytes, bytes, int]


def operation(verb: int, **fields: Any) -> Operation:
    values = dict.fromkeys(("subject", "reply", "queue", "sid", "header", "payload"), b"") | {"maximum": 0}
    assert set(fields) <= set(values)
    return (verb, *(values | fields).values())  # type: ignore[return-value]


HEADER = b"NATS/1.0\r\nA: b\r\n\r\n"

SAMPLES = {
    b"PING\r\n": operation(PING),
    b"PONG\r\n": operation(PONG),
    b"+OK\r\n": operation(IGNORED),
    b"-ERR 'Some Error'\r\n": operation(ERROR),
    b'INFO {"server_id":"x"}\r\n': operation(IGNORED),
    b'CONNECT {"verbose":false}\r\n': operation(CONNECT, payload=b'{"verbose":false}'),
    b"CONNECT\r\n": operation(CONNECT),
    b"SUB foo 1\r\n": operation(SUB, subject=b"foo", sid=b"1"),
    b"SUB foo.* workers 22\r\n": operation(SUB, subject=b"foo.*", queue=b"workers", sid=b"22"),
    b"UNSUB 1\r\n": operation(UNSUB, sid=b"1"),
    b"UNSUB 1 10\r\n": operation(UNSUB, sid=b"1", maximum=10),
    b"PUB foo 0\r\n\r\n": operation(PUB, subject=b"foo"),
    b"PUB foo 5\r\nhello\r\n": operation(PUB, subject=b"foo", payload=b"hello"),
    b"PUB foo bar.r 5\r\nhello\r\n": operation(PUB, subject=b"foo", reply=b"bar.r", payload=b"hello"),
    b"PUB foo 8\r\n\r\nPING\r\n\r\n": operation(PUB, subject=b"foo", payload=b"\r\nPING\r\n"),
    b"HPUB foo 18 23\r\n" + HEADER + b"hello\r\n": operation(
        HPUB, subject=b"foo", header=HEADER, payload=b"hello"
    ),
    b"HPUB foo bar 18 18\r\n" + HEADER + b"\r\n": operation(
        HPUB, subject=b"foo", reply=b"bar", header=HEADER
    ),
    b"HPUB foo 0 5\r\nhello\r\n": operation(HPUB, subject=b"foo", payload=b"hello"),
}
STREAM = b"".join(SAMPLES)


def parsed(data: bytes, **limits: int) -> tuple[list[Operation], int, int]:
    return parse_all(data, **limits)


# Frames.


@pytest.mark.parametrize("frame", SAMPLES, ids=repr)
def test_each_frame_is_parsed(frame: bytes) -> None:
    assert parsed(frame) == ([SAMPLES[frame]], NEED_MORE, len(frame))


@pytest.mark.parametrize("frame", SAMPLES, ids=repr)
def test_incomplete_frame_needs_more(frame: bytes) -> None:
    for size in range(len(frame)):
        assert parsed(frame[:size]) == ([], NEED_MORE, 0), frame[:size]


@pytest.mark.parametrize("frame", SAMPLES, ids=repr)
def test_verb_in_any_letter_case(frame: bytes) -> None:
    verb, blank, rest = frame.partition(b" ")
    for spelling in (verb.lower(), verb.capitalize(), verb.swapcase()):
        assert parsed(spelling + blank + rest)[0] == [SAMPLES[frame]]


@pytest.mark.parametrize("frame", SAMPLES, ids=repr)
def test_line_may_end_in_lf_without_cr(frame: bytes) -> None:
    line, _, body = frame.partition(b"\r\n")
    assert parsed(line + b"\n" + body) == ([SAMPLES[frame]], NEED_MORE, len(frame) - 1)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"SUB  foo \t 1 \r\n", operation(SUB, subject=b"foo", sid=b"1")),
        (b"SUB\tfoo\tq\t1\r\n", operation(SUB, subject=b"foo", queue=b"q", sid=b"1")),
        (b"UNSUB \t1\t \t5  \r\n", operation(UNSUB, sid=b"1", maximum=5)),
        (b"PUB   foo\t3  \r\nabc\r\n", operation(PUB, subject=b"foo", payload=b"abc")),
        (b"PING \t\r\n", operation(PING)),
        (b"PUB foo 0003\r\nabc\r\n", operation(PUB, subject=b"foo", payload=b"abc")),
        (b"HPUB f 00 01\r\nx\r\n", operation(HPUB, subject=b"f", payload=b"x")),
        (b"UNSUB 1 0007\r\n", operation(UNSUB, sid=b"1", maximum=7)),
        # An invalid maximum unsubscribes at once.
        (b"UNSUB 1 x\r\n", operation(UNSUB, sid=b"1")),
        (b"UNSUB 1 -4\r\n", operation(UNSUB, sid=b"1")),
        (b"UNSUB 1 9223372036854775807\r\n", operation(UNSUB, sid=b"1", maximum=2**63 - 1)),
        (b"UNSUB 1 9223372036854775808\r\n", operation(UNSUB, sid=b"1")),
        (b"UNSUB 1 99999999999999999999999\r\n", operation(UNSUB, sid=b"1")),
        # The parser accepts any bytes in a subject.
        (b"SUB \x00\xff\x80 1\r\n", operation(SUB, subject=b"\x00\xff\x80", sid=b"1")),
        (b"PUB a\rb 0\r\n\r\n", operation(PUB, subject=b"a\rb")),
    ],
    ids=repr,
)
def test_blanks_and_numbers_are_read_as_nats_server_does(line: bytes, expected: Operation) -> None:
    assert parsed(line) == ([expected], NEED_MORE, len(line))


@pytest.mark.parametrize(
    "data",
    [
        *(b"SUB\r\n", b"UNSUB\r\n", b"PUB\n", b"HPUB\r\n", b"-ERR\r\n"),
        *(b"X", b"\r\n", b"\n", b" PING\r\n", b"PUBX foo 0\r\n\r\n", b"SUBfoo 1\r\n", b"UNSUBS 1\r\n"),
        *(
            b"HPUBS\r\n",
            b"-ERRX\r\n",
            b"PIMG",
            b"P\r\n",
            b"PU\n",
            b"PIN\r\n",
            b"+O\r\n",
            b"+KO",
            b"*OK",
        ),
        *(b"MSG foo 1 0\r\n", b"\xf0PING\r\n", b"\x00", b"GET / HTTP/1.1\r\n", b"-ER\r\n", b"\x0bOK\r\n"),
    ],
    ids=repr,
)
def test_unknown_verb(data: bytes) -> None:
    assert parsed(data) == ([], BAD_VERB, 0)


@pytest.mark.parametrize(
    "line",
    [
        *(b"SUB ", b"SUB foo", b"SUB a b c d", b"SUB a b c d e f g", b"UNSUB\t", b"UNSUB 1 2 3", b"PUB "),
        *(b"PUB foo", b"PUB foo x", b"PUB foo bar baz 1", b"PUB foo -1", b"PUB foo +1", b"PUB foo 1.0"),
        *(
            b"PUB foo 0x1",
            b"PUB foo 1000000000",
            b"PUB foo 0000000001",
            b"PUB foo 4294967296",
            b"PUB foo 18446744073709551616",
        ),
        *(b"PUB foo 18446744073709551621", b"PUB foo 9999999999999999999", b"PUB foo 1e3"),
        *(b"PUB foo 00000000000000000003", b"PUB foo 1\r", b"HPUB foo 1", b"HPUB ", b"HPUB f g h 1 1"),
        *(b"HPUB foo 2 1", b"HPUB foo x 1", b"HPUB foo 1 x", b"HPUB foo -1 1", b"HPUB a b c d e f"),
    ],
    ids=repr,
)
def test_invalid_arguments(line: bytes) -> None:
    assert parsed(line + b"\r\n" + b"x" * 8) == ([], BAD_ARGUMENTS, 0)


# Limits.


@pytest.mark.parametrize("verb", [b"PUB s", b"HPUB s 0", b"HPUB s 3"])
def test_payload_at_and_over_the_limit(verb: bytes) -> None:
    frame = verb + b" 10\r\n0123456789\r\n"
    assert parsed(frame, payload_bytes=10)[1:] == (NEED_MORE, len(frame))
    assert parsed(frame, payload_bytes=9) == ([], PAYLOAD_TOO_LARGE, 0)
    # The parser knows the size as soon as it has the line.
    assert parsed(verb + b" 10\r\n", payload_bytes=9) == ([], PAYLOAD_TOO_LARGE, 0)


def test_largest_announced_size() -> None:
    assert parsed(b"PUB s 999999999\r\n", payload_bytes=2**31 - 1) == ([], NEED_MORE, 0)
    assert parsed(b"PUB s 999999999\r\n") == ([], PAYLOAD_TOO_LARGE, 0)
    assert parsed(b"PUB s 1000000000\r\n") == ([], BAD_ARGUMENTS, 0)


@pytest.mark.parametrize("reply", [b"", b"re.ply "], ids=["no reply", "reply"])
@pytest.mark.parametrize("digits", [10, 18, 19, 20, 21, 39, 4000, 1_000_000])
def test_size_with_too_many_digits_is_refused(digits: int, reply: bytes) -> None:
    for size in (b"9" * digits, b"0" * (digits - 1) + b"1", b"18446744073709551619".zfill(digits)):
        line = b"PUB s " + reply + size + b"\r\n"
        assert parsed(line + b"abc\r\n", control_line_bytes=2**21) == ([], BAD_ARGUMENTS, 0)
        assert parsed(b"H" + line + b"abc\r\n", control_line_bytes=2**21) == ([], BAD_ARGUMENTS, 0)


@pytest.mark.parametrize("digits", [9, 10, 11, 20, 4000])
def test_reply_subject_of_digits_is_not_read_as_a_size(digits: int) -> None:
    reply = b"1" * digits
    found = operation(PUB, subject=b"s", reply=reply, payload=b"abc")
    assert parsed(b"PUB s " + reply + b" 3\r\nabc\r\n")[0] == [found]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b"9223372036854775807", 2**63 - 1),
        (b"9223372036854775808", 0),
        (b"9999999999999999999", 0),
        (b"18446744073709551615", 0),
        (b"18446744073709551619", 0),
        (b"1" * 1_000_000, 0),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_maximum_of_unsub_over_63_bits_counts_as_none(written: bytes, read: int) -> None:
    found = operation(UNSUB, sid=b"1", maximum=read)
    assert parsed(b"UNSUB 1 " + written + b"\r\n", control_line_bytes=2**21)[0] == [found]


@pytest.mark.parametrize("limit", [16, 64, 4096])
def test_control_line_at_and_over_the_limit(limit: int) -> None:
    line = b"SUB " + b"s" * (limit - 2) + b" 1"
    assert parsed(line + b"\r\n", control_line_bytes=limit)[1:] == (NEED_MORE, limit + 6)
    assert parsed(line + b"x\r\n", control_line_bytes=limit) == ([], LINE_TOO_LONG, 0)
    # The limit counts the arguments only: not the verb, the payload after them, or the lines before them.
    publish = b"PUB " + b"s" * (limit - 6) + b" %05d" % (3 * limit)
    frame = publish + b"\r\n" + b"x" * (3 * limit) + b"\r\n"
    assert parsed(b"PING\r\n" + frame, control_line_bytes=limit)[1:] == (NEED_MORE, len(frame) + 6)


def test_endless_line_is_refused_at_the_limit() -> None:
    endless = b"PUB " + b"x" * 100
    outcomes = [parsed(endless[:size], control_line_bytes=50)[1] for size in range(1, len(endless))]
    assert outcomes == [NEED_MORE] * 55 + [LINE_TOO_LONG] * (len(outcomes) - 55)


@pytest.mark.parametrize("tail", [b"\n\n", b"\r\r", b"ab", b"\rX", b"X\n", b"\n\r", b"\x00\x00"])
def test_payload_without_crlf_is_refused(tail: bytes) -> None:
    assert parsed(b"PUB s 3\r\nabc" + tail) == ([], BAD_VERB, 0)
    assert parsed(b"HPUB s 1 3\r\nabc" + tail) == ([], BAD_VERB, 0)


def test_frames_before_a_bad_frame_are_parsed() -> None:
    operations, outcome, used = parsed(b"PING\r\nPUB s 1\r\nx\r\nNONSENSE\r\nPONG\r\n")
    assert (operations, outcome, used) == (
        [operation(PING), operation(PUB, subject=b"s", payload=b"x")],
        BAD_VERB,
        18,
    )


# Splits.


def parse_pieces(pieces: list[bytes], **limits: int) -> tuple[list[Operation], int]:
    """Parse the pieces one by one and keep the unparsed rest in between, as a connection does."""
    unread, found, outcome = b"", [], NEED_MORE
    for piece in pieces:
        unread += piece
        operations, outcome, used = parsed(unread, **limits)
        found += operations
        unread = unread[used:]
        if outcome != NEED_MORE:
            break
    return found, outcome


def test_samples_split_at_every_offset() -> None:
    expected = list(SAMPLES.values())
    for offset in range(len(STREAM) + 1):
        assert parse_pieces(cut(STREAM, offset)) == (expected, NEED_MORE), offset


def test_samples_in_single_bytes() -> None:
    assert parse_pieces(cut(STREAM, *range(len(STREAM)))) == (list(SAMPLES.values()), NEED_MORE)


@pytest.mark.parametrize("frame", SAMPLES, ids=repr)
def test_each_sample_split_at_every_two_offsets(frame: bytes) -> None:
    for first in range(len(frame)):
        for second in range(first, len(frame)):
            assert parse_pieces(cut(frame, first, second)) == ([SAMPLES[frame]], NEED_MORE)


# Generated streams.

TOKENS = st.text("abcXYZ019.*>_$-\xe9\x01", min_size=1, max_size=12).map(lambda text: text.encode("latin-1"))
PAYLOADS = st.binary(max_size=40)
BLANKS = st.sampled_from([b" ", b"  ", b"\t", b" \t "])


@st.composite
def frames(draw: st.DrawFn) -> tuple[bytes, Operation]:
    verb = draw(st.sampled_from([PUB, HPUB, SUB, UNSUB, PING, PONG, CONNECT, IGNORED, ERROR]))
    blank, end = draw(BLANKS), draw(st.sampled_from([b"\r\n", b"\n"]))
    body = b""
    if verb in (PUB, HPUB):
        subject, reply = draw(TOKENS), draw(st.one_of(st.just(b""), TOKENS))
        header, payload = draw(PAYLOADS) if verb == HPUB else b"", draw(PAYLOADS)
        sizes = [b"%d" % len(header)] if verb == HPUB else []
        words = [[b"PUB", b"HPUB"][verb == HPUB], subject, reply, *sizes, b"%d" % len(header + payload)]
        body = header + payload + b"\r\n"
        expected = operation(verb, subject=subject, reply=reply, header=header, payload=payload)
    elif verb == SUB:
        subject, queue, sid = draw(TOKENS), draw(st.one_of(st.just(b""), TOKENS)), draw(TOKENS)
        words = [b"SUB", subject, queue, sid]
        expected = operation(SUB, subject=subject, queue=queue, sid=sid)
    elif verb == UNSUB:
        sid, maximum = draw(TOKENS), draw(st.integers(0, 2**63 - 1))
        words = [b"UNSUB", sid, b"%d" % maximum if maximum else b""]
        expected = operation(UNSUB, sid=sid, maximum=maximum)
    elif verb == CONNECT:
        text = draw(TOKENS)
        return b"CONNECT " + text + end, operation(CONNECT, payload=text)
    else:
        names = {PING: [b"PING"], PONG: [b"PONG"], IGNORED: [b"+OK", b"INFO {}"], ERROR: [b"-ERR 'x'"]}
        words, expected = [draw(st.sampled_from(names[verb]))], operation(verb)
    if draw(st.booleans()):
        words[0] = words[0].lower()
    return blank.join(word for word in words if word) + end + body, expected


@MANY
@given(st.lists(frames(), max_size=6), st.lists(st.integers(0, 2000), max_size=8))
def test_generated_streams_under_any_split(stream: list[tuple[bytes, Operation]], offsets: list[int]) -> None:
    data = b"".join(frame for frame, _ in stream)
    expected = [each for _, each in stream]
    assert parsed(data) == (expected, NEED_MORE, len(data))
    assert parse_pieces(cut(data, *offsets)) == (expected, NEED_MORE)
    assert reference(data) == (expected, NEED_MORE, len(data))


# A reference parser.


def reference(data: bytes, line_limit: int = 4096, limit: int = 1 << 20) -> tuple[list[Operation], int, int]:
    """A second implementation of the protocol, as simple as possible."""
    found: list[Operation] = []
    at = 0
    while at < len(data):
        each, outcome, size = reference_frame(data[at:], line_limit, limit)
        if each is None:
            return found, outcome, at
        found.append(each)
        at += size
    return found, NEED_MORE, at


NAMES = (b"PUB", b"HPUB", b"SUB", b"UNSUB", b"PING", b"PONG", b"CONNECT", b"INFO", b"+OK", b"-ERR")
VERBS = dict(zip(NAMES, (PUB, HPUB, SUB, UNSUB, PING, PONG, CONNECT, IGNORED, IGNORED, ERROR), strict=True))


def reference_frame(rest: bytes, line_limit: int, limit: int) -> tuple[Operation | None, int, int]:
    name = next((v for v in VERBS if rest[: len(v)].upper() == v[: len(rest)]), None)
    if name is None:
        return None, BAD_VERB, 0
    verb = VERBS[name]
    rest_of_line = rest[len(name) :]
    blanks = min(len(rest_of_line) - len(rest_of_line.lstrip(b" \t")), line_limit)
    if rest_of_line and not blanks and verb in (PUB, HPUB, SUB, UNSUB, ERROR):
        return None, BAD_VERB, 0
    line, newline, body = rest_of_line[blanks:].partition(b"\n")
    text = line.removesuffix(b"\r") if newline else line[:-1]
    if len(text) > line_limit:
        return None, LINE_TOO_LONG, 0
    if not newline:
        return None, NEED_MORE, 0
    used = len(name) + blanks + len(line) + 1
    if verb in (PING, PONG, IGNORED, ERROR):
        return operation(verb), FOUND, used
    if verb == CONNECT:
        return operation(CONNECT, payload=text), FOUND, used
    words = [word for word in text.replace(b"\t", b" ").split(b" ") if word]
    if verb == SUB and len(words) in (2, 3):
        queue = words[1] if len(words) == 3 else b""
        return operation(SUB, subject=words[0], queue=queue, sid=words[-1]), FOUND, used
    if verb == UNSUB and len(words) in (1, 2):
        maximum = number(words[1]) if len(words) == 2 else 0
        return operation(UNSUB, sid=words[0], maximum=maximum or 0), FOUND, used
    sizes = {PUB: 1, HPUB: 2}.get(verb, 0)
    if not sizes or len(words) not in (sizes + 1, sizes + 2):
        return None, BAD_ARGUMENTS, 0
    if any(len(word) > 9 for word in words[-sizes:]):
        return None, BAD_ARGUMENTS, 0
    total, header = number(words[-1]), number(words[-2]) if verb == HPUB else 0
    if total is None or header is None or header > total:
        return None, BAD_ARGUMENTS, 0
    if total > limit:
        return None, PAYLOAD_TOO_LARGE, 0
    if len(body) < total + 2:
        return None, NEED_MORE, 0
    if body[total : total + 2] != b"\r\n":
        return None, BAD_VERB, 0
    reply = words[1] if len(words) == sizes + 2 else b""
    fields = {"subject": words[0], "reply": reply, "header": body[:header], "payload": body[header:total]}
    return operation(verb, **fields), FOUND, used + total + 2


def number(word: bytes) -> int | None:
    """The value of 1 to 19 digits that fits into 63 bits, else None."""
    value = int(word) if 1 <= len(word) <= 19 and set(word) <= set(b"0123456789") else None
    return value if value is not None and value < 2**63 else None


PIECES = st.sampled_from(
    [
        *(b"PUB", b"pub ", b"HPUB ", b"SUB ", b"UNSUB ", b"PING", b"PONG", b"CONNECT ", b"INFO", b"+OK"),
        *(b"-ERR", b" ", b"\t", b"\r\n", b"\n", b"\r", b"foo", b"a.b", b"1", b"3", b"0", b"18 ", b"99999"),
        *(b"abc", b"2147483648", b"\x00", b"{}", b"PUB a 3\r\nabc\r\n", b"HPUB a 1 3\r\nabc\r\n"),
    ]
)


@MANY
@given(st.one_of(st.binary(max_size=60), st.lists(PIECES, max_size=14).map(b"".join)))
@example(b"PUB foo 18446744073709551621\r\nhello\r\n")
@example(b"HPUB a 4 3\r\nabc\r\n")
@example(b"PUB a b c d e f g h i j 3\r\nabc\r\n")
def test_random_bytes_are_parsed_as_by_the_reference(data: bytes) -> None:
    assert parsed(data, control_line_bytes=20, payload_bytes=9) == reference(data, 20, 9)


@MANY
@given(st.one_of(st.binary(max_size=60), st.lists(PIECES, max_size=14).map(b"".join)))
def test_random_bytes_are_parsed_alike_in_single_bytes(data: bytes) -> None:
    """The end of a read changes neither the operations found nor whether the stream is refused."""
    operations, outcome, _ = parsed(data)
    assert parse_pieces(cut(data, *range(len(data)))) == (operations, outcome)


# Reading past the end.


@pytest.mark.parametrize("frame", [frame for frame in SAMPLES if frame[:1] not in b"+-I"], ids=repr)
def test_bytes_behind_the_end_of_a_read_are_not_parsed(frame: bytes) -> None:
    """The rest of the frame is in memory behind the end of the read, as an earlier read may leave it."""
    core = Core()
    reader, writer = core.session(), core.session()
    reader.feed(b"SUB foo 9\r\n")
    for size in range(1, len(frame)):
        buffer = writer.session.get_buffer(-1)
        buffer[: len(frame)] = frame
        writer.session.buffer_updated(size)
        assert (reader.output(), writer.output(), writer.session.subscriptions) == (b"", b"", {}), size
        assert writer.connection.connects == []
        assert writer.session.in_messages == 0
        assert not writer.session.closing
        writer = core.session()


def test_frame_that_fills_the_read_buffer_exactly() -> None:
    """The frame has the size of the read buffer, so that nothing valid follows its last byte."""
    for read_bytes in (4096, 4097, 5000):
        core = Core(read_bytes=read_bytes)
        reader, writer = core.session(), core.session()
        reader.feed(b"SUB s 1\r\n")
        payload = b"x" * (read_bytes - len(b"PUB s 0000\r\n\r\n"))
        frame = b"PUB s %04d\r\n%b\r\n" % (len(payload), payload)
        assert len(frame) == read_bytes
        writer.feed(frame)
        assert reader.output() == b"MSG s 1 %d\r\n%b\r\n" % (len(payload), payload)
