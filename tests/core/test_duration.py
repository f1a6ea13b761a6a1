"""Durations in headers: seconds or Go durations, exact to the millisecond, rounded up."""

import re
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mq9fast._core.protocol.duration import MAX_SECONDS
from mq9fast._core.testing.protocol import duration_ms
from tests.support.in_memory import MANY

UNITS = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "µs": Fraction(1, 10**6),
    "μs": Fraction(1, 10**6),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}
NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"
TERM = re.compile(NUMBER + "(" + "|".join(UNITS) + ")", re.ASCII)


def seconds_of(number: str) -> Fraction:
    whole, _, fraction = number.partition(".")
    return int(whole or "0") + Fraction(int(fraction or "0"), 10 ** len(fraction))


def model(data: bytes) -> int | None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    if re.fullmatch(NUMBER, text, re.ASCII):
        seconds = seconds_of(text)
    else:
        if not re.fullmatch(f"({TERM.pattern})+", text, re.ASCII):
            return None
        seconds = sum((seconds_of(number) * UNITS[unit] for number, unit in TERM.findall(text)), Fraction())
    return None if seconds > MAX_SECONDS else -(-seconds * 1000 // 1)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("0", 0),
        ("1", 1000),
        ("007", 7000),
        ("1.5", 1500),
        ("0.001", 1),
        ("0.0001", 1),
        ("0." + "0" * 30 + "1", 1),
        (".25", 250),
        ("2.", 2000),
        ("90s", 90_000),
        ("1h30m", 5_400_000),
        ("1.5h", 5_400_000),
        ("1h1m1s1ms", 3_661_001),
        ("1m1h", 3_660_000),
        ("1s1s", 2000),
        ("100ms", 100),
        ("1us", 1),
        ("1µs", 1),
        ("1μs", 1),
        ("999999ns1ns", 1),
        ("1000001ns", 2),
        ("0s", 0),
        ("3162240000", 3_162_240_000_000),
        ("878400h", 3_162_240_000_000),
    ],
)
def test_durations(text: str, milliseconds: int) -> None:
    assert duration_ms(text.encode()) == model(text.encode()) == milliseconds


@pytest.mark.parametrize(
    "text",
    [
        *("", " 1", "1 ", "+1", "-1", "-1s", "1e3", "1,5", "1.5.5", ".", ".s", "s", "1d", "1w", "1S", "1H"),
        *("1 s", "1s ", "1s1", "1h30", "1hm", "1ss", "1x", "NaN", "never", "0x1", "1_0", "1s\0", "٣"),
        *("3162240000.000000001", "3162240001", "878400h1ns", "9" * 19, "9" * 40, "18446744073709551616ns"),
    ],
)
def test_other_texts_are_no_durations(text: str) -> None:
    assert duration_ms(text.encode()) is model(text.encode()) is None


DIGITS = st.one_of(st.text("0123456789", max_size=4), st.text("0123456789", max_size=24), st.just(""))
NUMBERS = st.tuples(DIGITS, st.sampled_from(["", ".", "."]), DIGITS).map("".join)
TERMS = st.tuples(NUMBERS, st.sampled_from([*UNITS, *UNITS, "", "d", "x", " "])).map("".join)
SOUP = st.text("0123456789.hmsnuµ", max_size=12)
TEXTS = st.one_of(st.lists(TERMS, max_size=4).map("".join), NUMBERS, SOUP)


@MANY
@given(data=st.one_of(TEXTS.map(str.encode), st.binary(max_size=8)))
@example(data=b"3162239999.9999999999")
@example(data=b"878399h59m59.9999999999s")
def test_reader_agrees_with_the_model(data: bytes) -> None:
    assert duration_ms(data) == model(data)
