"""RFC 3339 times in headers, against Python's calendar."""

import re
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq9fast._core.testing.protocol import rfc3339_ms
from tests.support.in_memory import MANY

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
FORM = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)


def model(data: bytes) -> int | None:
    found = FORM.fullmatch(data.decode("latin-1"))
    if found is None:
        return None
    *numbers, fraction, sign, hours, minutes = found.groups()
    year, month, day, hour, minute, second = map(int, numbers)
    if second > 60 or int(hours or 0) > 23 or int(minutes or 0) > 59:
        return None
    try:
        # Years repeat their calendar every 400 years, and Python has no year 0.
        moment = datetime(year + 400 if year == 0 else year, month, day, hour, minute, tzinfo=timezone.utc)
    except ValueError:
        return None
    ms = (moment - EPOCH) // timedelta(milliseconds=1) - (146097 * 86400_000 if year == 0 else 0)
    offset = int(hours or 0) * 3600 + int(minutes or 0) * 60
    ms += (second - (-offset if sign == "-" else offset)) * 1000
    digits = fraction or ""
    return ms + -(-int(digits or "0") * 1000 // 10 ** len(digits))


@pytest.mark.parametrize(
    ("text", "unix_ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.001Z", 1),
        ("1970-01-01T00:00:00.0001Z", 1),
        ("1970-01-01t01:00:00+01:00", 0),
        ("1969-12-31T23:59:59.999z", -1),
        ("2026-01-31T12:00:00.5-08:00", 1769889600500),
        ("2000-02-29T00:00:00Z", 951782400000),
        ("2016-12-31T23:59:60Z", 1483228800000),
        ("9999-12-31T23:59:59Z", 253402300799000),
    ],
)
def test_times(text: str, unix_ms: int) -> None:
    assert rfc3339_ms(text.encode()) == model(text.encode()) == unix_ms


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "2026-01-31", "2026-01-31T12:00:00", "2026-01-31 12:00:00Z", "2026-01-31T12:00Z"),
        *("2026-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z"),
        *("2026-01-00T00:00:00Z", "2026-04-31T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z"),
        *(
            "2026-01-01T00:00:61Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+1:00",
            "2026-01-01T00:00:00+24:00",
        ),
        *(
            "2026-01-01T00:00:00+01:60",
            "2026-01-01T00:00:00Zx",
            "2026-01-01T00:00:00x",
            "+026-01-01T00:00:00Z",
        ),
        *("2026-01-01T00:00:00.1", "2026-01-01T00:00:00,1Z", "2026-01-01T00:00:00 01:00"),
    ],
)
def test_other_texts_are_no_times(text: str) -> None:
    assert rfc3339_ms(text.encode()) is model(text.encode()) is None


TWO = st.integers(0, 99).map("{:02}".format)
TIMES = st.tuples(
    *(st.integers(0, 9999).map("{:04}".format), st.just("-"), st.integers(0, 13).map("{:02}".format)),
    *(st.just("-"), st.integers(0, 32).map("{:02}".format), st.sampled_from("TTTTt ")),
    *(st.integers(0, 24).map("{:02}".format), st.just(":"), st.integers(0, 60).map("{:02}".format)),
    *(st.just(":"), st.integers(0, 61).map("{:02}".format)),
    st.one_of(st.just(""), st.text("0123456789", max_size=8).map(".{}".format)),
    st.one_of(
        st.sampled_from(["Z", "z", ""]),
        st.tuples(st.sampled_from("+-x"), TWO, st.just(":"), TWO).map("".join),
    ),
).map("".join)


@MANY
@given(data=st.one_of(TIMES.map(str.encode), st.binary(max_size=30)))
def test_reader_agrees_with_the_model(data: bytes) -> None:
    assert rfc3339_ms(data) == model(data)
