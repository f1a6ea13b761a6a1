"""Settings: where each may come from, which wins, and what is said when one cannot be used."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.inspect import BoolType, FloatType, IntType

from mq9fast.errors import SettingsError
from mq9fast.settings import SETTINGS, Setting, Settings
from mq9fast.sources import load_settings

DEFAULTS = {
    "host": "127.0.0.1",
    "port": 4222,
    "data_dir": "./mq9-data",
    "sync": "always",
    "sync_interval": 1.0,
    "monitor_host": "127.0.0.1",
    "monitor_port": 8222,
    "ws_host": "127.0.0.1",
    "ws_port": -1,
    "ws_tls": True,
    "ws_origins": None,
    "max_payload": 1048576,
    "log_level": "info",
    "user": None,
    "password": None,
    "token": None,
    "tls_cert": None,
    "tls_key": None,
    "tls_ca": None,
    "tls_verify": False,
    "tls_handshake_first": "off",
    "server_name": None,
    "advertise": None,
    "auto_create": False,
    "max_control_line": 4096,
    "max_connections": 65536,
    "max_subscriptions": 0,
    "max_pending": 67108864,
    "write_deadline": 10.0,
    "max_mailboxes": 0,
    "max_mailbox_messages": 0,
    "max_mailbox_bytes": 0,
    "max_store_bytes": 0,
    "min_free": 134217728,
    "ping_interval": 120.0,
    "ping_max": 2,
    "auth_timeout": 2.0,
    "lame_duck_duration": 30.0,
}
COMPANIONS: dict[str, dict[str, Any]] = {
    "user": {"password": "p"},
    "password": {"user": "u"},
    "tls_cert": {"tls_key": "k"},
    "tls_key": {"tls_cert": "c"},
    "tls_ca": {"tls_cert": "c", "tls_key": "k"},
    "tls_verify": {"tls_cert": "c", "tls_key": "k", "tls_ca": "a"},
    "tls_handshake_first": {"tls_cert": "c", "tls_key": "k"},
}
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
    "max_store_bytes": [-1, 2**64],
    "ping_interval": [0],
    "ping_max": [0],
    "auth_timeout": [0],
    "lame_duck_duration": [-0.5],
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
SECRET = "hunter2"
every_setting = pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row.name)
every_source = pytest.mark.parametrize("source", ["flag", "variable", "file"])


class Told:
    """What a broker is told, gathered source by source; `load` reads it as a start of the broker does."""

    def __init__(self, directory: Path) -> None:
        self.argv: list[str] = []
        self.environ: dict[str, str] = {}
        self.path = directory / "mq9.toml"
        self.lines: list[str] = []

    def tell(self, source: str, row: Setting, value: Any) -> None:
        if source == "file":
            self.lines.append(f"{row.name} = {toml(value)}")
        elif source == "variable":
            self.environ[row.variable] = str(value)
        elif isinstance(value, bool):
            self.argv.append(row.flag if value else row.flag.replace("--", "--no-"))
        else:
            self.argv.append(f"{row.flag}={value}")

    def load(self) -> Settings:
        argv = list(self.argv)
        if self.lines:
            self.path.write_text("\n".join(self.lines))
            argv += ["--config", str(self.path)]
        return load_settings(argv, self.environ)

    def error(self) -> str:
        with pytest.raises(SettingsError) as caught:
            self.load()
        return sentence(caught.value)


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


def sentence(error: SettingsError) -> str:
    text = str(error)
    assert text
    assert "\n" not in text
    assert not text.endswith(".")
    return text


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(key)} = {toml(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return repr(value) if isinstance(value, float) else json.dumps(value)


def named(name: str) -> Setting:
    return next(row for row in SETTINGS if row.name == name)


def two_values(row: Setting) -> tuple[Any, Any]:
    """Two good values of a setting, the first of them not its default."""
    if isinstance(row.kind, BoolType):
        return not row.default, row.default
    if row.choices:
        return row.choices[1], row.choices[0]
    if isinstance(row.kind, IntType | FloatType):
        return row.default + 1, row.default + 2
    if row.name == "advertise":
        return "a.example:4222", "b.example:4222, [::1]:65535"
    return f"{row.name}-1", f"{row.name} = ü#2"


def wrong_values(row: Setting, source: str) -> list[Any]:
    in_file = source == "file"
    if isinstance(row.kind, IntType | FloatType):
        others: list[Any] = [True, [1], {"a": 1}] if in_file else []
        return [*WRONG_NUMBERS.get(row.name, []), float("nan"), float("inf"), "x", "", "1.2.3", *others]
    if isinstance(row.kind, BoolType):
        return [] if source == "flag" else ["maybe", "", 2, 0.5]
    if in_file:
        return ["", "a\tb", "a\n", "\x00", 7, True, ["x"], {"a": "b"}]
    return ["", "a\tb", "a\n", "\udcff"]


# Where a value comes from


def test_defaults() -> None:
    settings = load_settings([], {})
    assert {row.name: getattr(settings, row.name) for row in SETTINGS} == DEFAULTS
    assert settings == Settings()
    assert settings.explicit == frozenset()


@every_setting
@every_source
def test_one_source(told: Told, row: Setting, source: str) -> None:
    value, _ = two_values(row)
    told.tell(source, row, value)
    for name, companion in COMPANIONS.get(row.name, {}).items():
        told.tell(source, named(name), companion)
    settings = told.load()
    assert getattr(settings, row.name) == value
    assert type(getattr(settings, row.name)) is type(value)
    assert settings.explicit == {row.name, *COMPANIONS.get(row.name, {})}


@every_setting
@pytest.mark.parametrize(
    ("winner", "loser"), [("flag", "variable"), ("flag", "file"), ("variable", "file")], ids="-over-".join
)
def test_precedence(told: Told, row: Setting, winner: str, loser: str) -> None:
    losing, winning = two_values(row)
    told.tell(loser, row, losing)
    told.tell(winner, row, winning)
    for name, companion in COMPANIONS.get(row.name, {}).items():
        told.tell("file", named(name), companion)
    assert getattr(told.load(), row.name) == winning


@every_setting
def test_flag_wins_over_all(told: Told, row: Setting) -> None:
    losing, winning = two_values(row)
    told.tell("file", row, losing)
    told.tell("variable", row, losing)
    told.tell("flag", row, winning)
    for name, companion in COMPANIONS.get(row.name, {}).items():
        told.tell("file", named(name), companion)
    assert getattr(told.load(), row.name) == winning


@pytest.mark.parametrize(("name", "ends"), LOW_AND_HIGH.items())
@every_source
def test_limits_are_inclusive(tmp_path: Path, name: str, ends: tuple[float, float], source: str) -> None:
    for value in ends:
        told = Told(tmp_path)
        told.tell(source, named(name), value)
        assert getattr(told.load(), name) == value


def test_a_value_may_follow_its_flag() -> None:
    settings = load_settings(["--monitor-port", "-1", "--port", "0", "--sync", "never"], {})
    assert (settings.monitor_port, settings.port, settings.sync) == (-1, 0, "never")


@pytest.mark.parametrize("text", ["true", "1", "yes", "TRUE", "Yes"])
def test_words_for_true(text: str) -> None:
    assert load_settings([], {"MQ9FAST_AUTO_CREATE": text}).auto_create is True


@pytest.mark.parametrize("text", ["false", "0", "no", "False"])
def test_words_for_false(text: str) -> None:
    assert load_settings([], {"MQ9FAST_AUTO_CREATE": text}).auto_create is False


@pytest.mark.parametrize("text", ["null", "None", "none", "0", "false"])
def test_no_text_is_taken_for_none(text: str) -> None:
    assert load_settings([], {"MQ9FAST_TOKEN": text}).token == text


def test_a_whole_number_of_seconds_in_the_file(told: Told) -> None:
    told.lines = ["sync_interval = 3"]
    assert told.load().sync_interval == 3.0


def test_keys_of_the_file_may_have_dashes(told: Told) -> None:
    told.lines = ["max-payload = 5", "max_connections = 6"]
    settings = told.load()
    assert (settings.max_payload, settings.max_connections) == (5, 6)


def test_other_variables_are_left_alone() -> None:
    assert load_settings([], {"PORT": "1", "MQ9FAST_OTHER": "x", "MQ9FAST_GIVEN": "x"}) == Settings()


def test_a_default_given_is_explicit() -> None:
    assert load_settings(["--monitor-port=8222"], {}).explicit == {"monitor_port"}


def test_a_value_set_in_code_is_explicit() -> None:
    assert Settings(monitor_port=9000).explicit == {"monitor_port"}
    assert Settings().explicit == frozenset()


# Values that cannot be used


@every_setting
@every_source
def test_wrong_values(tmp_path: Path, row: Setting, source: str) -> None:
    for value in wrong_values(row, source):
        told = Told(tmp_path)
        told.tell(source, row, value)
        text = told.error()
        place = {"flag": row.flag, "variable": row.variable, "file": str(told.path)}[source]
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
        ("host", "text of at least one character, none of them a control character"),
    ],
)
def test_what_a_value_must_be(name: str, expected: str) -> None:
    assert named(name).expected == expected


def test_a_wrong_value_that_loses_is_still_told(told: Told) -> None:
    told.tell("variable", named("port"), "x")
    told.tell("flag", named("port"), 1)
    assert "MQ9FAST_PORT" in told.error()


@pytest.mark.parametrize("key", ["prot", "config", "given", "explicit", "MAX_PAYLOAD", "version", ""])
def test_unknown_key(told: Told, key: str) -> None:
    told.lines = [f"{json.dumps(key)} = 1"]
    assert told.error() == f"the config file {str(told.path)!r} has an unknown key {key!r}"


def test_a_table_is_an_unknown_key(told: Told) -> None:
    told.lines = ["[tls]", 'cert = "c"']
    assert "'tls'" in told.error()


def test_a_key_given_twice(told: Told) -> None:
    told.lines = ["max-payload = 5", "max_payload = 5"]
    assert told.error() == f"the config file {str(told.path)!r} gives max_payload twice"


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--port"], "argument --port: expected one argument"),
        (["--prot", "1"], "there is no flag '--prot'"),
        (["--por=1"], "there is no flag '--por'"),
        (["-x"], "the command line has an argument that belongs to no flag"),
        (["nats://localhost"], "the command line has an argument that belongs to no flag"),
        (["--given=port"], "there is no flag '--given'"),
    ],
)
def test_wrong_flags(argv: list[str], text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(argv, {})
    assert sentence(caught.value) == text


# Settings that need or exclude each other


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"user": "u"}, ["user", "password"]),
        ({"password": "p"}, ["password", "user"]),
        ({"user": "u", "password": "p", "token": "t"}, ["token", "user", "password"]),
        ({"tls_cert": "c"}, ["tls_cert", "tls_key"]),
        ({"tls_key": "k"}, ["tls_key", "tls_cert"]),
        ({"tls_ca": "a"}, ["tls_ca", "tls_cert"]),
        ({"tls_verify": True}, ["tls_verify", "tls_cert"]),
        ({"tls_verify": True, "tls_cert": "c", "tls_key": "k"}, ["tls_verify", "tls_ca"]),
        ({"tls_handshake_first": "on"}, ["tls_handshake_first", "tls_cert"]),
        ({"tls_handshake_first": "auto"}, ["tls_handshake_first", "tls_cert"]),
    ],
)
def test_cross_checks(told: Told, values: dict[str, Any], names: list[str]) -> None:
    for name, value in values.items():
        told.tell("variable", named(name), value)
    text = told.error()
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []
    with pytest.raises(SettingsError):
        Settings(**values)


def test_good_combinations() -> None:
    Settings(token="t")
    Settings(user="u", password="p")
    Settings(tls_cert="c", tls_key="k")
    Settings(tls_cert="c", tls_key="k", tls_ca="a")
    Settings(tls_cert="c", tls_key="k", tls_ca="a", tls_verify=True)


def test_sources_are_checked_together(told: Told) -> None:
    told.tell("file", named("user"), "u")
    told.tell("variable", named("password"), "p")
    told.tell("flag", named("token"), "t")
    assert "token" in told.error()
    told.argv = []
    assert told.load().user == "u"


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
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^advertise holds '.*', which is not host:port$"):
        load_settings([f"--advertise={text}"], {})


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("a:1", ("a:1",)),
        ("a.example:4222,10.0.0.1:65535 , [fe80::1]:1", ("a.example:4222", "10.0.0.1:65535", "[fe80::1]:1")),
    ],
)
def test_addresses(text: str, addresses: tuple[str, ...]) -> None:
    assert load_settings([f"--advertise={text}"], {}).advertised == addresses
    assert Settings().advertised == ()


# Secrets


@pytest.mark.parametrize("name", ["password", "token"])
@every_source
def test_no_message_holds_a_secret(tmp_path: Path, name: str, source: str) -> None:
    alone = {"password": {}, "token": {"user": "u", "password": "p"}}[name]
    for value in [f"{SECRET}\n", SECRET, *([[SECRET], {SECRET: SECRET}] if source == "file" else [])]:
        told = Told(tmp_path)
        told.tell(source, named(name), value)
        for other, companion in alone.items():
            told.tell("variable", named(other), companion)
        text = told.error()
        assert SECRET not in text
        assert name in text


@pytest.mark.parametrize(
    "argv",
    [
        [f"--pasword={SECRET}"],
        ["--pasword", SECRET],
        ["--user=u", "--password", "my", SECRET],
        ["--user=u", "--password", "my", f"-{SECRET}".replace("h", "x")],
        [f"--port={SECRET}"],
        [f"--sync={SECRET}"],
    ],
)
def test_no_message_about_flags_holds_a_secret(argv: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(argv, {})
    assert SECRET[1:] not in sentence(caught.value)


@pytest.mark.parametrize("line", [f"token = {SECRET}", f"token = '{SECRET}", f'token = "{SECRET}\\x"'])
def test_no_message_about_invalid_toml_holds_a_secret(told: Told, line: str) -> None:
    told.lines = [line]
    assert SECRET not in told.error()


@pytest.mark.parametrize("values", [{"token": SECRET}, {"user": "u", "password": SECRET}])
def test_repr_holds_no_secret(values: dict[str, Any]) -> None:
    settings = Settings(**values)
    for text in (repr(settings), str(settings), f"{settings}", str(settings.__rich_repr__())):
        assert SECRET not in text
        assert "***" in text
    assert repr(Settings()).startswith("Settings(host='127.0.0.1', port=4222, ")
    assert "password=None, token=None" in repr(Settings())


# The config file


def test_config_by_variable(told: Told) -> None:
    told.path.write_text("port = 5")
    assert load_settings([], {"MQ9FAST_CONFIG": str(told.path)}).port == 5


def test_config_by_flag_wins(told: Told, tmp_path: Path) -> None:
    told.lines = ["port = 6"]
    told.environ = {"MQ9FAST_CONFIG": str(tmp_path / "absent")}
    assert told.load().port == 6


def test_empty_config(told: Told) -> None:
    told.lines = ["", "# nothing"]
    assert told.load() == Settings()


def absent(path: Path) -> None:
    path.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (absent, "cannot be read: No such file or directory"),
        (Path.mkdir, "cannot be read: Is a directory"),
        (lambda path: path.symlink_to(path), "cannot be read: "),
        (lambda path: path.write_text("port = "), "is not valid TOML: "),
        (lambda path: path.write_text("port = 1\nport = 2"), "is not valid TOML: "),
        (lambda path: path.write_bytes(b"host = '\xff'"), "is not valid TOML: "),
        (lambda path: path.write_bytes(b"\x00\x01"), "is not valid TOML: "),
        (lambda path: path.write_text(f"port = {'[' * 9999}"), "is not valid TOML: "),
        (lambda path: path.write_text(f"port = {'9' * 9999}"), ""),
        (lambda path: path.write_text(f"port = 0x{'f' * 9999}"), ""),
    ],
)
def test_config_that_cannot_be_used(tmp_path: Path, make: Callable[[Path], Any], reason: str) -> None:
    path = tmp_path / "mq9.toml"
    make(path)
    for argv, environ in (["--config", str(path)], {}), ([], {"MQ9FAST_CONFIG": str(path)}):
        with pytest.raises(SettingsError) as caught:
            load_settings(argv, environ)
        assert f"the config file {str(path)!r} {reason}".rstrip() in sentence(caught.value)


def test_config_without_permission(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    told.lines = ["port = 1"]
    assert told.error() == f"the config file {str(told.path)!r} cannot be read: Permission denied"


@pytest.mark.parametrize("path", ["", "\x00", "a\x00b", "\ud800"])
def test_config_path_that_is_none(path: str) -> None:
    with pytest.raises(SettingsError, match="cannot be read") as caught:
        load_settings(["--config", path], {"MQ9FAST_CONFIG": "other"})
    assert repr(path) in sentence(caught.value)
