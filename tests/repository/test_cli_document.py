"""Every snippet of the page about the command line runs beside a broker, and its commands and flags exist."""

import re
import subprocess
from pathlib import Path

from mq9fast.cli.app import options_of
from mq9fast.cli.commands import COMMANDS
from mq9fast.cli.status import Status
from tests.support.broker import Broker
from tests.support.command import shell_environment
from tests.support.waiting import START_SECONDS

PAGE = (Path(__file__).parents[2] / "docs/cli.md").read_text()


def test_snippets_run(broker: Broker, tmp_path: Path) -> None:
    environment = shell_environment(broker.url, tmp_path)
    snippets = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(snippets) >= 3
    for snippet in snippets:
        done = subprocess.run(
            ["sh", "-ec", snippet], capture_output=True, text=True, timeout=START_SECONDS, env=environment
        )
        assert done.returncode == 0 and not done.stderr, done.stderr
        if "tr a-z A-Z" in snippet:
            assert done.stdout.splitlines()[-1] == "HELLO"


def test_commands_and_flags_exist() -> None:
    commands = re.findall(r"^\| `(\w+) ", PAGE, re.MULTILINE)
    assert set(commands) <= set(COMMANDS) and len(commands) == 13
    flags = {flag for name in commands for flag in options_of(COMMANDS[name])}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE.partition("An error is a sentence")[0]))
    assert named - flags == {"--help"}


def test_every_command_is_described() -> None:
    assert set(re.findall(r"^\| `([a-z-]+)", PAGE, re.MULTILINE)) == set(COMMANDS)


def test_exit_statuses() -> None:
    rows = re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)
    assert set(map(int, rows)) == {int(status) for status in Status}
