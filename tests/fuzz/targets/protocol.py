"""Readers of the protocol, each against a second implementation: the parser, header blocks, words in them."""

from nats.aio.client import Client

from mq9fast._core.protocol.address import is_address, split_destination
from mq9fast._core.testing.protocol import duration_ms, read_header_block, rfc3339_ms
from tests.core import test_address, test_duration, test_headers, test_parser, test_rfc3339
from tests.fuzz.seeds import exchanges
from tests.fuzz.target import Target
from tests.support.in_memory import cut


def parse(data: bytes) -> None:
    for limits in ((4096, 1 << 20), (20, 9)):
        line, payload = limits
        found = test_parser.parsed(data, control_line_bytes=line, payload_bytes=payload)
        assert found == test_parser.reference(data, line, payload)
        pieces = test_parser.parse_pieces(
            cut(data, *range(len(data))), control_line_bytes=line, payload_bytes=payload
        )
        assert pieces == found[:2]


def read_headers(data: bytes) -> None:
    found = read_header_block(data)
    assert found == test_headers.model(data)
    status, stored, options = found
    if status == test_headers.VALID:
        assert read_header_block(stored) == found
        _check_as_nats_py(stored, options)


def _check_as_nats_py(stored: bytes, options: dict[int, bytes]) -> None:
    """nats-py reads the options that the broker reads, and nothing that only the broker may write."""
    read = Client._parse_header_lines(stored[len(test_headers.FIRST) :])
    names = {name.lower().encode(): value for name, value in read.items()}
    assert not any(test_headers.BROKER_ONLY.fullmatch(name) for name in names), names
    for name, number in test_headers.OPTIONS.items():
        # nats-py removes what Python counts as blank, the broker blanks and tabs.
        expected = options[number].strip().decode("utf-8", "replace") if number in options else None
        assert names.get(name) == expected, (name, names)


def read_words(data: bytes) -> None:
    """Durations, times and addresses."""
    assert duration_ms(data) == test_duration.model(data)
    assert rfc3339_ms(data) == test_rfc3339.model(data)
    text = data.decode("latin-1")
    assert is_address(data) is (test_address.GRAMMAR.fullmatch(text) is not None)
    found = split_destination(data)
    assert found is None or (is_address(found[0]) and found[1] in range(3))


HEADER_SEEDS = [
    test_headers.block(),
    test_headers.block(b"A: b", b"Mq9-From: x", b"Nats-Msg-Id: 1", b"mq9-dead-x:", b"Nats-TTL: 90s"),
    test_headers.block(*(name + b": v" for name in test_headers.OPTIONS)),
    test_headers.block(b"Nats-Expected-Stream: s"),
]
HEADER_WORDS = [
    *test_headers.NAMES,
    *(b": ", b":", b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b"NATS/1.0", b"\r\n\r\n", b" 503", b"\xff"),
]
WORD_SEEDS = [
    *(b"1h30m", b"90s", b"0.001", b"1.5h", b"100us", "1µs".encode(), b"9223372036854775807ns", b".5m"),
    *(
        b"2026-01-31T12:00:00.5-08:00",
        b"1970-01-01t00:00:00z",
        b"2016-12-31T23:59:60Z",
        b"0000-02-29T00:00:00Z",
    ),
    *(b"task.queue", b"a-b_c.urgent", b"a" * 128, b"normal", b"a.normal.critical"),
]
WORDS = [b"h", b"m", b"s", b"ms", b"us", "µs".encode(), b"ns", b".", b"-", b"+", b":", b"T", b"Z", b"0" * 20]
TARGETS = [
    Target(
        "parser", parse, [*test_parser.SAMPLES, *exchanges()], [*test_parser.SAMPLES, b"\r\n", b" ", b"99"]
    ),
    Target("headers", read_headers, HEADER_SEEDS, HEADER_WORDS),
    Target("words", read_words, WORD_SEEDS, [*WORDS, b"urgent", b"critical", b"a"]),
]
