"""The error for a value, key or flag that cannot be used."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.inspect import BoolType, FloatType, IntType

from mq9fast.config.setting import Setting
from mq9fast.config.sources import load_settings
from mq9fast.errors import SettingsError
from tests.settings.inputs import Inputs, every_setting, every_source, named, sentence

PATHS = {"data_dir", "tls_cert", "tls_key", "tls_ca", "ws_tls_cert", "ws_tls_key", "ws_tls_ca"}
PATHS |= {"log_file", "pid_file", "ports_file_dir"}
PATHS |= {f"cluster_log_{name}" for name in ("creds", "tls_ca", "tls_cert", "tls_key")}
WRONG_NUMBERS: dict[str, list[float]] = {
    "port": [-1, 65536],
    "monitor_port": [-2, 65536],
    "ws_port": [-2, 65536],
    "sync_interval": [0, -1, 1e300],
    "max_payload": [0, 67108865],
    "max_control_line": [63, 1048577],
    "max_connections": [0],
    "max_subscriptions": [-1, 2**63],
    "max_pending": [0],
    "write_deadline": [0],
    "max_mailboxes": [-1],
    "max_mailbox_messages": [-1],
    "max_mailbox_bytes": [-1],
    "min_free": [-1],
    "busy_poll": [-1, 10_001],
    "max_store_bytes": [-1, 2**64],
    "ping_interval": [0],
    "ping_max": [0],
    "auth_timeout": [0],
    "lame_duck_duration": [-0.5],
    "cluster_port": [-1, 65536],
    "cluster_copies": [1, 10],
}


def wrong_values(row: Setting, source: str) -> list[Any]:
    in_file = source == "file"
    if isinstance(row.kind, IntType | FloatType):
        others: list[Any] = [True, [1], {"a": 1}] if in_file else []
        return [*WRONG_NUMBERS.get(row.name, []), float("nan"), float("inf"), "x", "", "1.2.3", *others]
    if isinstance(row.kind, BoolType):
        return [] if source == "flag" else ["maybe", "", 2, 0.5]
    if in_file:
        return ["", "a\tb", "a\n", "\x00", 7, True, ["x"], {"a": "b"}]
    # A path may have any bytes.
    return ["", "a\tb", "a\n", *([] if row.name in PATHS else ["\udcff"])]


@every_setting
@every_source
def test_wrong_values(tmp_path: Path, row: Setting, source: str) -> None:
    for value in wrong_values(row, source):
        inputs = Inputs(tmp_path)
        inputs.give(source, row, value)
        text = inputs.error()
        place = {"flag": row.flag, "variable": row.variable, "file": str(inputs.path)}[source]
        assert text.startswith(f"{row.name}, given by the ")
        assert place in text
        assert text.endswith(f"must be {row.expected}")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("port", "a whole number from 0 to 65535"),
        ("sync_interval", "a number of seconds above 0 and at most 31536000"),
        ("lame_duck_duration", "a number of seconds of at least 0 and at most 31536000"),
        ("sync", "one of always, interval, never"),
        ("auto_create", "true or false"),
        ("host", "text of at least one character, without control characters"),
    ],
)
def test_what_a_value_must_be(name: str, expected: str) -> None:
    assert named(name).expected == expected


def test_a_wrong_value_is_an_error_even_if_another_source_wins(inputs: Inputs) -> None:
    inputs.give("variable", named("port"), "x")
    inputs.give("flag", named("port"), 1)
    assert "MQ9FAST_PORT" in inputs.error()


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("prot", "port"),
        ("MAX_PAYLOAD", "max_payload"),
        ("default_permission", "default_permissions"),
        *((key, "") for key in ("config", "given", "explicit", "")),
    ],
)
def test_unknown_key(inputs: Inputs, key: str, nearest: str) -> None:
    inputs.lines = [f"{json.dumps(key)} = 1"]
    hint = f": did you mean {nearest}?" if nearest else ""
    assert inputs.error() == f"the config file {str(inputs.path)!r} has an unknown key {key!r}{hint}"


def test_a_table_is_an_unknown_key(inputs: Inputs) -> None:
    inputs.lines = ["[tls]", 'cert = "c"']
    assert "'tls'" in inputs.error()


def test_a_key_given_twice(inputs: Inputs) -> None:
    inputs.lines = ["max-payload = 5", "max_payload = 5"]
    assert inputs.error() == f"the config file {str(inputs.path)!r} gives max_payload twice"


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--port"], "argument --port: expected one argument"),
        (["--prot", "1"], "unknown flag '--prot': did you mean --port?"),
        (["--por=1"], "unknown flag '--por': did you mean --port?"),
        (["-x"], "an argument on the command line does not belong to any flag: see --help"),
        (["nats://localhost"], "an argument on the command line does not belong to any flag: see --help"),
        (["--given=port"], "unknown flag '--given': see --help"),
    ],
)
def test_wrong_flags(argv: list[str], text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(argv, {})
    assert sentence(caught.value) == text
