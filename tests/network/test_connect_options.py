"""The JSON of CONNECT, in addition to tests/wire."""

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
def test_name_of_the_client_is_decoded_as_by_nats_server(text: bytes, name: str | None) -> None:
    """As in Go: U+FFFD replaces each byte that is not UTF-8."""
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
def test_malformed_options_raise_value_error(text: bytes) -> None:
    with pytest.raises(ValueError):
        read_options(text)
