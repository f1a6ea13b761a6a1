"""Flags, environment variables and a config file, as a test of settings gives them."""

import json
from pathlib import Path
from typing import Any

import pytest

from mq9fast.config.setting import Setting
from mq9fast.config.settings import SETTINGS, Settings
from mq9fast.config.sources import load_settings
from mq9fast.errors import SettingsError

every_setting = pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row.name)
every_source = pytest.mark.parametrize("source", ["flag", "variable", "file"])


class Inputs:
    """Settings by source. `load` reads them as a start of the broker does."""

    def __init__(self, directory: Path) -> None:
        self.argv: list[str] = []
        self.environ: dict[str, str] = {}
        self.path = directory / "mq9.toml"
        self.lines: list[str] = []

    def give(self, source: str, row: Setting, value: Any) -> None:
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
