"""The config file: which file is read, and the error if it cannot be used."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mq9fast.config.settings import Settings
from mq9fast.config.sources import load_settings
from mq9fast.errors import SettingsError
from tests.settings.inputs import Inputs, sentence


def test_config_by_variable(inputs: Inputs) -> None:
    inputs.path.write_text("port = 5")
    assert load_settings([], {"MQ9FAST_CONFIG": str(inputs.path)}).port == 5


def test_config_by_flag_wins(inputs: Inputs, tmp_path: Path) -> None:
    inputs.lines = ["port = 6"]
    inputs.environ = {"MQ9FAST_CONFIG": str(tmp_path / "absent")}
    assert inputs.load().port == 6


def test_empty_config(inputs: Inputs) -> None:
    inputs.lines = ["", "# nothing"]
    assert inputs.load() == Settings()


@pytest.mark.parametrize("text", [b"", b"port = 5", b"\r\nport = 5\r\n", b"# nothing\nport = 5"])
def test_config_with_a_byte_order_mark(inputs: Inputs, text: bytes) -> None:
    inputs.path.write_bytes(b"\xef\xbb\xbf" + text)
    settings = load_settings(["--config", str(inputs.path)], {})
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
def test_error_for_a_config_file_that_cannot_be_used(
    tmp_path: Path, make: Callable[[Path], Any], reason: str
) -> None:
    path = tmp_path / "mq9.toml"
    make(path)
    for argv, environ in (["--config", str(path)], {}), ([], {"MQ9FAST_CONFIG": str(path)}):
        with pytest.raises(SettingsError) as caught:
            load_settings(argv, environ)
        assert f"the config file {str(path)!r} {reason}".rstrip() in sentence(caught.value)


def test_config_without_permission(inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    inputs.lines = ["port = 1"]
    assert inputs.error() == f"the config file {str(inputs.path)!r} cannot be read: Permission denied"


@pytest.mark.parametrize("path", ["", "\x00", "a\x00b", "\ud800"])
def test_config_path_that_is_not_valid(path: str) -> None:
    with pytest.raises(SettingsError, match="cannot be read") as caught:
        load_settings(["--config", path], {"MQ9FAST_CONFIG": "other"})
    assert repr(path) in sentence(caught.value)
