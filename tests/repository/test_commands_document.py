"""docs/commands.md describes every command and every exit status."""

import re
from pathlib import Path

from mq9fast.cli.commands import COMMANDS
from mq9fast.cli.status import Status

DOCUMENT = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()


def test_every_command_is_described_in_order() -> None:
    assert re.findall(r"^\| `([\w-]+)` \|", DOCUMENT, re.MULTILINE) == list(COMMANDS)


def test_every_exit_status_is_described() -> None:
    assert re.findall(r"^\| (\d+) \|", DOCUMENT, re.MULTILINE) == [str(int(status)) for status in Status]
