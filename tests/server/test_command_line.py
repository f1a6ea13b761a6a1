"""The command line: help, version, errors in one sentence, and log lines."""

import logging
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

from mq9fast.__main__ import main
from mq9fast.config.setting import Setting
from mq9fast.config.settings import SETTINGS, Settings
from mq9fast.errors import StartError
from mq9fast.version import VERSION
from tests.support.waiting import START_SECONDS

every_setting = pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row.name)


@pytest.fixture
def help_text(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    return " ".join(capsys.readouterr().out.split())


@every_setting
def test_help_describes_every_setting(help_text: str, row: Setting) -> None:
    default = "none" if row.default is None else row.default
    if isinstance(default, bool):
        default = str(default).lower()
    assert f" {row.flag}" in help_text
    assert f"{row.help} (default: {default}{row.unit and ' ' + row.unit})" in help_text


def test_help_shows_values_units_and_choices(help_text: str) -> None:
    assert "--sync always|interval|never " in help_text
    assert "--log-level debug|info|warning|error " in help_text
    assert "--auto-create, --no-auto-create " in help_text
    assert (
        "--max-payload BYTES maximum size of a message with its headers (default: 1048576 bytes)" in help_text
    )
    assert "(default: 1.0 seconds)" in help_text
    assert "MQ9FAST_MAX_PAYLOAD" in help_text
    assert "--config FILE" in help_text
    assert "--given" not in re.findall(r"--[a-z-]+", help_text)


def test_help_is_printed_in_spite_of_wrong_settings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MQ9FAST_PORT", "x")
    with pytest.raises(SystemExit):
        main(["--port=x", "--help"])
    assert "usage: mq9fast" in capsys.readouterr().out


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"mq9fast {VERSION}\n"


def run_was_not_set(*_arguments: object) -> int:
    pytest.fail("the test did not set run")


@pytest.fixture
def fake_server(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A stand-in for the module that runs a broker."""
    module: Any = types.ModuleType("mq9fast.server.process")
    module.run = run_was_not_set
    monkeypatch.setitem(sys.modules, "mq9fast.server.process", module)
    for variable in ["MQ9FAST_CONFIG", *(row.variable for row in SETTINGS)]:
        monkeypatch.delenv(variable, raising=False)
    return module


def test_main_runs_the_server_with_the_settings(fake_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Settings] = []

    def run(settings: Settings, *_rest: object) -> int:
        ran.append(settings)
        return 7

    fake_server.run = run
    assert main(["--port=1"]) == 7
    monkeypatch.setattr(sys, "argv", ["mq9fast", "--port=2"])
    assert main() == 7
    assert [settings.port for settings in ran] == [1, 2]


def test_failed_start_prints_one_sentence(fake_server: Any, capfd: pytest.CaptureFixture[str]) -> None:
    def run(settings: Settings, *_rest: object) -> int:
        raise StartError("port 4222 of 127.0.0.1 is in use")

    fake_server.run = run
    assert main([]) == 1
    assert capfd.readouterr() == ("", "mq9fast: port 4222 of 127.0.0.1 is in use\n")


@pytest.mark.parametrize(
    ("argv", "status"),
    [
        (["--port=x"], 1),
        (["--user=u"], 1),
        (["--port"], 2),
        (["--prot"], 2),
        (["--port=0", "x"], 2),
        (["--auto-create=x"], 2),
    ],
)
def test_wrong_setting_prints_one_sentence(
    fake_server: Any, argv: list[str], status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == status
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"mq9fast: .+\n", err)


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("--prot=5", "unknown flag '--prot': did you mean --port?"),
        ("--max_payload=5", "unknown flag '--max_payload': did you mean --max-payload?"),
        ("--xyzzy", "unknown flag '--xyzzy': see --help"),
    ],
)
def test_unknown_flag_is_told_the_nearest_one(
    argument: str, sentence: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([argument]) == 2
    assert capfd.readouterr().err == f"mq9fast: {sentence}\n"


def test_unknown_variables_are_warned_of_with_the_nearest_name(
    fake_server: Any, root_level: None, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_server.run = lambda *_arguments: 0
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setenv("MQ9FAST_PROT", "secret")
    monkeypatch.setenv("MQ9FAST_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("MQ9_PORT", "5")
    assert main([]) == 0
    first, second = capfd.readouterr().err.splitlines()
    assert first.endswith(
        "WARNING mq9fast: the variable MQ9FAST_PROT is not a setting: did you mean MQ9FAST_PORT?"
    )
    assert "the variable MQ9FAST_SERVICE_HOST is not a setting" in second
    assert "secret" not in first + second


def test_serving_imports_no_command(fake_server: Any) -> None:
    code = (
        "import sys; from mq9fast.__main__ import main; main(['--port=x'])\n"
        "print([name for name in sys.modules if name.startswith(('typer', 'rich', 'mq9fast.cli'))])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=START_SECONDS)
    assert ran.stdout == "[]\n"


@pytest.fixture
def root_level() -> Iterator[None]:
    level = logging.root.level
    yield
    logging.root.setLevel(level)


def test_log_line_has_time_level_logger_and_message(
    fake_server: Any, root_level: None, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(settings: Settings, *_rest: object) -> int:
        logging.getLogger("mq9fast.x").debug("hidden")
        logging.getLogger("mq9fast.x").warning("seen")
        return 0

    fake_server.run = run
    monkeypatch.setattr(logging.root, "handlers", [])
    assert main(["--log-level=warning"]) == 0
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING mq9fast\.x: seen\n", err)


def test_wrong_setting_does_not_import_the_server() -> None:
    code = (
        "import sys; from mq9fast.__main__ import main; status = main(['--port=x'])\n"
        "print(status, 'mq9fast.server.process' in sys.modules, 'asyncio' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=START_SECONDS)
    assert ran.stdout == "1 False False\n"
    assert ran.stderr == "mq9fast: port, given by the flag --port, must be a whole number from 0 to 65535\n"


def test_python_m_mq9fast_runs_the_command_line() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "mq9fast", "--sync=x"], capture_output=True, text=True, timeout=START_SECONDS
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.count("\n") == 1
