"""Settings that need or exclude each other."""

import re
from typing import Any

import pytest

from mq9fast.config.settings import Settings
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
        ({"ws_tls_cert": "c"}, ["ws_tls_cert", "ws_tls_key"]),
        ({"ws_tls_key": "k"}, ["ws_tls_key", "ws_tls_cert"]),
        ({"ws_tls_cert": "c", "ws_tls_key": "k", "ws_tls_verify": True}, ["ws_tls_verify", "ws_tls_ca"]),
        ({"tls_ca": "a"}, ["tls_ca", "tls_cert"]),
        ({"tls_verify": True}, ["tls_verify", "tls_cert"]),
        ({"tls_verify": True, "tls_cert": "c", "tls_key": "k"}, ["tls_verify", "tls_ca"]),
        ({"tls_verify_and_map": True}, ["tls_verify_and_map", "tls_cert"]),
        ({"tls_verify_and_map": True, "tls_cert": "c", "tls_key": "k"}, ["tls_verify_and_map", "tls_ca"]),
        ({"monitor_tls": True}, ["monitor_tls", "tls_cert"]),
        ({"allow_non_tls": True}, ["allow_non_tls", "tls_cert"]),
        (
            {"allow_non_tls": True, "tls_handshake_first": "on", "tls_cert": "c", "tls_key": "k"},
            ["allow_non_tls", "tls_handshake_first"],
        ),
        ({"tls_handshake_first": "on"}, ["tls_handshake_first", "tls_cert"]),
        ({"tls_handshake_first": "auto"}, ["tls_handshake_first", "tls_cert"]),
    ],
)
def test_error_names_the_setting_and_the_missing_or_conflicting_one(
    inputs: Inputs, values: dict[str, Any], names: list[str]
) -> None:
    for name, value in values.items():
        inputs.give("variable", named(name), value)
    text = inputs.error()
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []
    with pytest.raises(SettingsError):
        Settings(**values)


def test_complete_combinations_are_accepted() -> None:
    Settings(token="t")
    Settings(user="u", password="p")
    Settings(tls_cert="c", tls_key="k")
    Settings(tls_cert="c", tls_key="k", tls_ca="a")
    Settings(tls_cert="c", tls_key="k", tls_ca="a", tls_verify=True)


def test_settings_of_different_sources_are_checked_as_one_set(inputs: Inputs) -> None:
    inputs.give("file", named("user"), "u")
    inputs.give("variable", named("password"), "p")
    inputs.give("flag", named("token"), "t")
    assert "token" in inputs.error()
    inputs.argv = []
    assert inputs.load().user == "u"
