"""No error and no repr contains a secret."""

from pathlib import Path
from typing import Any

import pytest

from mq9fast.config.settings import Settings
from mq9fast.config.sources import load_settings
from mq9fast.errors import SettingsError
from tests.settings.inputs import Inputs, every_source, named, sentence

SECRET = "hunter2"


@pytest.mark.parametrize("name", ["password", "token"])
@every_source
def test_no_error_contains_a_secret(tmp_path: Path, name: str, source: str) -> None:
    alone = {"password": {}, "token": {"user": "u", "password": "p"}}[name]
    for value in [f"{SECRET}\n", SECRET, *([[SECRET], {SECRET: SECRET}] if source == "file" else [])]:
        inputs = Inputs(tmp_path)
        inputs.give(source, named(name), value)
        for other, companion in alone.items():
            inputs.give("variable", named(other), companion)
        text = inputs.error()
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
def test_no_error_about_flags_contains_a_secret(argv: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(argv, {})
    assert SECRET[1:] not in sentence(caught.value)


@pytest.mark.parametrize("line", [f"token = {SECRET}", f"token = '{SECRET}", f'token = "{SECRET}\\x"'])
def test_no_error_about_invalid_toml_contains_a_secret(inputs: Inputs, line: str) -> None:
    inputs.lines = [line]
    assert SECRET not in inputs.error()


@pytest.mark.parametrize("values", [{"token": SECRET}, {"user": "u", "password": SECRET}])
def test_repr_contains_no_secret(values: dict[str, Any]) -> None:
    settings = Settings(**values)
    for text in (repr(settings), str(settings), f"{settings}", str(settings.__rich_repr__())):
        assert SECRET not in text
        assert "***" in text
    assert repr(Settings()).startswith("Settings(host='127.0.0.1', port=4222, ")
    assert "password=None, token=None" in repr(Settings())
