"""The sources of a setting, and which of them wins."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.inspect import BoolType, FloatType, IntType

from mq9fast.config.setting import Setting
from mq9fast.config.settings import SETTINGS, Settings
from mq9fast.config.sources import load_settings
from tests.settings.inputs import Inputs, every_setting, every_source, named

DEFAULTS = {
    "host": "127.0.0.1",
    "port": 4222,
    "proxy_protocol": False,
    "data_dir": "./mq9-data",
    "sync": "always",
    "sync_interval": 1.0,
    "accept_loss": False,
    "monitor_host": "127.0.0.1",
    "monitor_port": 8222,
    "ws_host": "127.0.0.1",
    "ws_port": -1,
    "monitor_tls": False,
    "monitor_base_path": None,
    "ws_tls": True,
    "ws_origins": None,
    "ws_tls_cert": None,
    "ws_tls_key": None,
    "ws_tls_ca": None,
    "ws_tls_verify": False,
    "ws_tls_verify_and_map": False,
    "ws_same_origin": False,
    "ws_compression": False,
    "ws_username_cookie": None,
    "ws_password_cookie": None,
    "ws_token_cookie": None,
    "ws_forwarded_for": False,
    "console": True,
    "max_payload": 1048576,
    "log_level": "info",
    "log_file": None,
    "log_format": "text",
    "pid_file": None,
    "ports_file_dir": None,
    "user": None,
    "password": None,
    "token": None,
    "tls_cert": None,
    "tls_key": None,
    "tls_ca": None,
    "tls_verify": False,
    "tls_verify_and_map": False,
    "tls_min_version": "1.2",
    "tls_ciphers": None,
    "tls_pinned_certs": None,
    "tls_handshake_rate": 0,
    "allow_non_tls": False,
    "tls_handshake_first": "off",
    "server_name": None,
    "advertise": None,
    "auto_create": False,
    "max_control_line": 4096,
    "max_connections": 65536,
    "max_subscriptions": 0,
    "max_subscription_tokens": 0,
    "max_pending": 67108864,
    "write_deadline": 10.0,
    "max_mailboxes": 0,
    "max_mailbox_messages": 0,
    "max_mailbox_bytes": 0,
    "max_store_bytes": 0,
    "min_free": 134217728,
    "busy_poll": 100,
    "ping_interval": 120.0,
    "ping_max": 2,
    "auth_timeout": 2.0,
    "lame_duck_duration": 30.0,
    "cluster_log": None,
    "node_name": None,
    "cluster_name": "MQ9",
    "cluster_log_user": None,
    "cluster_log_password": None,
    "cluster_log_creds": None,
    "cluster_log_tls_ca": None,
    "cluster_log_tls_cert": None,
    "cluster_log_tls_key": None,
    "cluster_log_monitor": None,
    "cluster_host": "127.0.0.1",
    "cluster_port": 0,
    "cluster_advertise": None,
    "cluster_secret": None,
    "cluster_copies": 2,
}
COMPANIONS: dict[str, dict[str, Any]] = {
    "user": {"password": "p"},
    "password": {"user": "u"},
    "ws_tls_cert": {"ws_tls_key": "k"},
    "ws_tls_key": {"ws_tls_cert": "c"},
    "ws_tls_ca": {"ws_tls_cert": "c", "ws_tls_key": "k"},
    "ws_tls_verify": {"ws_tls_cert": "c", "ws_tls_key": "k", "ws_tls_ca": "a"},
    "ws_tls_verify_and_map": {"ws_tls_cert": "c", "ws_tls_key": "k", "ws_tls_ca": "a"},
    "tls_cert": {"tls_key": "k"},
    "tls_key": {"tls_cert": "c"},
    "tls_ca": {"tls_cert": "c", "tls_key": "k"},
    "tls_verify": {"tls_cert": "c", "tls_key": "k", "tls_ca": "a"},
    "tls_verify_and_map": {"tls_cert": "c", "tls_key": "k", "tls_ca": "a"},
    "tls_ciphers": {"tls_cert": "c", "tls_key": "k"},
    "tls_pinned_certs": {"tls_cert": "c", "tls_key": "k", "tls_ca": "a", "tls_verify": True},
    "monitor_tls": {"tls_cert": "c", "tls_key": "k"},
    "allow_non_tls": {"tls_cert": "c", "tls_key": "k"},
    "tls_handshake_first": {"tls_cert": "c", "tls_key": "k"},
    "cluster_log": {"node_name": "n", "cluster_log_monitor": "m"},
    "cluster_log_user": {"cluster_log_password": "p"},
    "cluster_log_password": {"cluster_log_user": "u"},
    "cluster_log_tls_cert": {"cluster_log_tls_key": "k", "cluster_log_tls_ca": "a"},
    "cluster_log_tls_key": {"cluster_log_tls_cert": "c", "cluster_log_tls_ca": "a"},
}
LOW_AND_HIGH: dict[str, tuple[float, float]] = {
    "port": (0, 65535),
    "monitor_port": (-1, 65535),
    "ws_port": (-1, 65535),
    "max_payload": (1, 67108864),
    "max_control_line": (64, 1048576),
    "ping_max": (1, 2**63 - 1),
    "lame_duck_duration": (0.0, 31536000.0),
}


def two_values(row: Setting) -> tuple[Any, Any]:
    """Two valid values of a setting. The first is not its default."""
    if isinstance(row.kind, BoolType):
        return not row.default, row.default
    if row.choices:
        return row.choices[1], row.choices[0]
    if isinstance(row.kind, IntType | FloatType):
        return row.default + 1, row.default + 2
    if row.name == "tls_pinned_certs":
        return "0" * 64, f"{'a' * 64},{'b' * 64}"
    if row.name == "monitor_base_path":
        return "/one", "/two/three"
    if row.name in {"node_name", "cluster_name"}:
        return "one", "two-2"
    if row.name == "cluster_advertise":
        return "a.example:4300", "[::1]:65535"
    if row.name == "advertise":
        return "a.example:4222", "b.example:4222, [::1]:65535"
    return f"{row.name}-1", f"{row.name} = ü#2"


def test_defaults() -> None:
    settings = load_settings([], {})
    assert {row.name: getattr(settings, row.name) for row in SETTINGS} == DEFAULTS
    assert settings == Settings()
    assert settings.explicit == frozenset()


@every_setting
@every_source
def test_one_source(inputs: Inputs, row: Setting, source: str) -> None:
    value, _ = two_values(row)
    inputs.give(source, row, value)
    for name, companion in COMPANIONS.get(row.name, {}).items():
        inputs.give(source, named(name), companion)
    settings = inputs.load()
    assert getattr(settings, row.name) == value
    assert type(getattr(settings, row.name)) is type(value)
    assert settings.explicit == {row.name, *COMPANIONS.get(row.name, {})}


@every_setting
@pytest.mark.parametrize(
    ("winner", "loser"), [("flag", "variable"), ("flag", "file"), ("variable", "file")], ids="-over-".join
)
def test_precedence(inputs: Inputs, row: Setting, winner: str, loser: str) -> None:
    losing, winning = two_values(row)
    inputs.give(loser, row, losing)
    inputs.give(winner, row, winning)
    for name, companion in COMPANIONS.get(row.name, {}).items():
        inputs.give("file", named(name), companion)
    assert getattr(inputs.load(), row.name) == winning


@every_setting
def test_flag_wins_over_all(inputs: Inputs, row: Setting) -> None:
    losing, winning = two_values(row)
    inputs.give("file", row, losing)
    inputs.give("variable", row, losing)
    inputs.give("flag", row, winning)
    for name, companion in COMPANIONS.get(row.name, {}).items():
        inputs.give("file", named(name), companion)
    assert getattr(inputs.load(), row.name) == winning


@pytest.mark.parametrize(("name", "ends"), LOW_AND_HIGH.items())
@every_source
def test_limits_are_inclusive(tmp_path: Path, name: str, ends: tuple[float, float], source: str) -> None:
    for value in ends:
        inputs = Inputs(tmp_path)
        inputs.give(source, named(name), value)
        assert getattr(inputs.load(), name) == value


def test_a_value_may_follow_its_flag() -> None:
    settings = load_settings(["--monitor-port", "-1", "--port", "0", "--sync", "never"], {})
    assert (settings.monitor_port, settings.port, settings.sync) == (-1, 0, "never")


@pytest.mark.parametrize("text", ["true", "1", "yes", "TRUE", "Yes"])
def test_texts_that_mean_true(text: str) -> None:
    assert load_settings([], {"MQ9FAST_AUTO_CREATE": text}).auto_create is True


@pytest.mark.parametrize("text", ["false", "0", "no", "False"])
def test_texts_that_mean_false(text: str) -> None:
    assert load_settings([], {"MQ9FAST_AUTO_CREATE": text}).auto_create is False


@pytest.mark.parametrize("text", ["null", "None", "none", "0", "false"])
def test_no_text_means_none(text: str) -> None:
    assert load_settings([], {"MQ9FAST_TOKEN": text}).token == text


def test_a_whole_number_of_seconds_in_the_file(inputs: Inputs) -> None:
    inputs.lines = ["sync_interval = 3"]
    assert inputs.load().sync_interval == 3.0


def test_keys_of_the_file_may_have_dashes(inputs: Inputs) -> None:
    inputs.lines = ["max-payload = 5", "max_connections = 6"]
    settings = inputs.load()
    assert (settings.max_payload, settings.max_connections) == (5, 6)


def test_other_variables_are_ignored() -> None:
    assert load_settings([], {"PORT": "1", "MQ9FAST_OTHER": "x", "MQ9FAST_GIVEN": "x"}) == Settings()


def test_a_setting_given_with_its_default_is_explicit() -> None:
    assert load_settings(["--monitor-port=8222"], {}).explicit == {"monitor_port"}


def test_a_value_set_in_code_is_explicit() -> None:
    assert Settings(monitor_port=9000).explicit == {"monitor_port"}
    assert Settings().explicit == frozenset()
