"""The JSON of CONNECT apart from what tests/wire shows."""

import pytest

from mq9fast.network.connect_options import read_options


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (b'{"name":"\xff\xfe"}', "\ufffd\ufffd"),
        (b'{"name":"\xed\xa0\x80"}', "\ufffd\ufffd\ufffd"),
        (b'{"name":"\xe2\x82x"}', "\ufffd\ufffdx"),
        (b'{"name":"a\\ud800b"}', "a\ufffdb"),
        (b'{"NAME":"\\ud83d\\ude00"}', "\U0001f600"),
        (b'{"name":"null"}', "null"),
        (b'{"name":"a","Name":null}', "a"),
        (b"null", None),
    ],
)
def test_names(text: bytes, name: str | None) -> None:
    """As Go shows them: a sign for each byte that is not UTF-8."""
    assert read_options(text).name == name


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'"x"',
        b'{"x":null',
        b'{"name":null} x',
        b'{"x":' + b"[" * 100_000,
        b'{"protocol":' + b"9" * 5000 + b"}",
        b'{"Protocol":' + b"9" * 20 + b"}",
        b'{"verbose":1,"VERBOSE":true}',
        b'{"Echo":[["a",1]]}',
    ],
)
def test_what_cannot_be_read_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError):
        read_options(text)
