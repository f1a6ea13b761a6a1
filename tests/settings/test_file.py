"""The config file: which it is, and why it cannot be read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mq9fast.config.settings import Settings
from mq9fast.config.sources import load_settings
from mq9fast.errors import SettingsError
from tests.settings.told import Told, sentence


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


@pytest.mark.parametrize("text", [b"", b"port = 5", b"\r\nport = 5\r\n", b"# nothing\nport = 5"])
def test_config_with_a_byte_order_mark(told: Told, text: bytes) -> None:
    told.path.write_bytes(b"\xef\xbb\xbf" + text)
    settings = load_settings(["--config", str(told.path)], {})
    assert settings.port == (5 if text else 4222)


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
        (lambda path: path.write_bytes(b"host = '\xff'"), "is not UTF-8 text: invalid start byte"),
        (lambda path: path.write_text("port = 5", "utf-16"), "is UTF-16 text: save it as UTF-8"),
        (lambda path: path.write_bytes(b"\xfe\xff\x00p"), "is UTF-16 text: save it as UTF-8"),
        (lambda path: path.write_bytes(b"\xef\xbb\xbf" * 2), "is not valid TOML: "),
        (lambda path: path.write_bytes(b"port = 5\n\xef\xbb\xbf"), "is not valid TOML: "),
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
