"""How commands are found, and what an error looks like."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mq9fast.cli.commands import COMMANDS, Command
from mq9fast.version import VERSION
from tests.support.command import MQ9FAST, error, run

every_command = pytest.mark.parametrize("row", COMMANDS.values(), ids=lambda row: row.name)


def test_help_lists_every_command() -> None:
    listed = run("--help").stdout.partition("\ncommands")[2]
    assert [line.split()[0] for line in listed.splitlines()[1:]] == list(COMMANDS)


@every_command
def test_help_of_a_command_ends_with_its_example(row: Command) -> None:
    text = run(row.name, "--help").stdout
    assert text.startswith(f"Usage: mq9fast {row.name} ")
    end = text.partition("Example:\n")[2]
    assert [line.strip() for line in end.strip().splitlines()] == row.example.splitlines()


@every_command
def test_a_command_has_a_module_and_a_summary(row: Command) -> None:
    assert importlib.util.find_spec(row.module) is not None
    assert row.summary.endswith(".") and len(row.summary) <= 79
    assert f"mq9fast {row.name}" in row.example


def test_unknown_command_is_told_the_nearest_one() -> None:
    assert error("versoin", status=2) == "mq9fast: there is no command 'versoin': did you mean version?\n"
    assert error("xyzzy", status=2) == "mq9fast: there is no command 'xyzzy': see mq9fast --help\n"
    assert "\x1b" not in error("\x1b[2J", status=2)


def test_unknown_flag_of_a_command_is_told_the_nearest_one() -> None:
    assert error("version", "--jsn", status=2) == (
        "mq9fast: the command version has no flag --jsn: did you mean --json?\nhint: mq9fast version --help\n"
    )


def test_an_argument_too_many_is_not_repeated() -> None:
    text = error("version", "hunter2", status=2)
    assert text == "mq9fast: version: there is an argument too many\nhint: mq9fast version --help\n"


def without(package: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command where a package is not installed."""
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from mq9fast.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60
    )


def test_without_its_packages_a_command_says_what_to_install() -> None:
    done = without("typer", "version")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "mq9fast: the command version needs the package typer, which is not installed\n"
        "hint: pip install 'mq9fast[cli]'\n"
    )


def test_without_its_packages_the_broker_knows_its_flags_and_commands() -> None:
    assert "--max-payload" in without("typer", "--help").stdout
    assert "did you mean version?" in without("typer", "versoin").stderr


def test_output_of_one_object_a_line() -> None:
    (line,) = run("version", "--json").stdout.splitlines()
    assert json.loads(line)["mq9fast"] == VERSION


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    with (
        errors.open("wb") as sink,
        subprocess.Popen([*MQ9FAST, "version"], stdout=subprocess.PIPE, stderr=sink) as process,
    ):
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(60) == 0
    assert errors.read_text() == ""
