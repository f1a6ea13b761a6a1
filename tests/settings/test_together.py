"""Settings that need or exclude each other, and settings with a list."""

import re
from typing import Any

import pytest

from mq9fast.config.settings import Settings
from mq9fast.config.sources import load_settings
from mq9fast.errors import SettingsError
from tests.settings.inputs import Inputs, named


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"user": "u"}, ["user", "password"]),
        ({"password": "p"}, ["password", "user"]),
        ({"user": "u", "password": "p", "token": "t"}, ["token", "user"]),
        ({"tls_cert": "c"}, ["tls_cert", "tls_key"]),
        ({"tls_key": "k"}, ["tls_key", "tls_cert"]),
        ({"tls_ca": "a"}, ["tls_ca", "tls_cert"]),
        ({"tls_verify": True}, ["tls_verify", "tls_cert"]),
        ({"tls_verify": True, "tls_cert": "c", "tls_key": "k"}, ["tls_verify", "tls_ca"]),
        ({"tls_handshake_first": "on"}, ["tls_handshake_first", "tls_cert"]),
        ({"tls_handshake_first": "auto"}, ["tls_handshake_first", "tls_cert"]),
    ],
)
def test_error_names_the_settings_that_conflict(
    inputs: Inputs, values: dict[str, Any], names: list[str]
) -> None:
    for name, value in values.items():
        inputs.give("variable", named(name), value)
    text = inputs.error()
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []
    with pytest.raises(SettingsError):
        Settings(**values)


def test_valid_combinations() -> None:
    Settings(token="t")
    Settings(user="u", password="p")
    Settings(tls_cert="c", tls_key="k")
    Settings(tls_cert="c", tls_key="k", tls_ca="a")
    Settings(tls_cert="c", tls_key="k", tls_ca="a", tls_verify=True)


def test_sources_are_checked_together(inputs: Inputs) -> None:
    inputs.give("file", named("user"), "u")
    inputs.give("variable", named("password"), "p")
    inputs.give("flag", named("token"), "t")
    assert "token" in inputs.error()
    inputs.argv = []
    assert inputs.load().user == "u"


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a:",
        ":1",
        "a:0",
        "a:65536",
        "a:1,",
        ",a:1",
        "a:1,,b:1",
        "a b:1",
        "nats://a:1",
        "u@a:1",
        "::1:5",
        "a:x",
    ],
)
def test_advertise_refuses_what_is_not_host_and_port(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^advertise: '.*' is not host:port$"):
        load_settings([f"--advertise={text}"], {})


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("a:1", ("a:1",)),
        ("a.example:4222,10.0.0.1:65535 , [fe80::1]:1", ("a.example:4222", "10.0.0.1:65535", "[fe80::1]:1")),
    ],
)
def test_advertise_is_a_list_of_addresses(text: str, addresses: tuple[str, ...]) -> None:
    assert load_settings([f"--advertise={text}"], {}).advertised == addresses
    assert Settings().advertised == ()
