"""What a command writes to a terminal, to a pipe, and as JSON."""

import json

import pytest

from mq9fast.cli.errors import ReaderGoneError
from mq9fast.cli.output import Output
from tests.support.command import on_terminal, run

ROWS = [{"name": "a\tb\x1b[2J", "total": 1, "tags": ["x"]}, {"name": "ü", "total": None, "tags": {}}]


def test_a_pipe_gets_tabs_and_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table(("name", "total", "tags"), ROWS)
    assert capsys.readouterr().out == 'a b [2J\t1\t["x"]\nü\t\t{}\n'


def test_json_is_one_object_a_line_with_everything(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(as_json=True)
    output.text("for people")
    output.table(("name",), ROWS)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == ROWS


def test_a_terminal_gets_a_table_and_colours_unless_no_color_is_set() -> None:
    status, shown = on_terminal("check-config")
    assert status == 0
    assert "\x1b[1m" in shown.splitlines()[0] and "setting" in shown
    plain = on_terminal("check-config", NO_COLOR="1", TERM="dumb")[1]
    assert "\x1b" not in plain and "setting" in plain
    assert "setting" not in run("check-config").stdout


def test_a_reader_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("builtins.print", broken)
    with pytest.raises(ReaderGoneError):
        Output().text("x")
