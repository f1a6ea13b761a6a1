"""`mq9fast check` and `mq9fast salvage` as commands: their output and their exit statuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mq9fast.cli.status import Status
from tests.support.broker import Broker
from tests.support.command import error, run
from tests.support.mailbox import send_each

StartBroker = Callable[..., Broker]


@pytest.fixture
def data_dir(start_broker: StartBroker) -> Path:
    """A directory whose broker was killed, with ten messages."""
    broker = start_broker()
    send_each(broker.port, "small", 5, "small")
    send_each(broker.port, "large", 5, "x" * 30_000)
    broker.kill()
    return broker.data_dir


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_check_of_a_sound_directory(data_dir: Path) -> None:
    done = run("check", data_dir)
    assert done.returncode == Status.DONE and not done.stderr
    lines = dict(line.split("\t") for line in done.stdout.splitlines())
    assert (lines["mailboxes"], lines["normal"], lines["ended"]) == ("2", "10", "killed")
    (summary,) = rows(run("check", data_dir, "--json").stdout)
    assert (summary["kind"], summary["format"], summary["problems"]) == ("summary", 4, 0)


def test_check_and_salvage_of_a_damaged_directory(data_dir: Path, tmp_path: Path) -> None:
    (segment,) = data_dir.glob("*.seg")
    segment.unlink()
    done = run("check", data_dir)
    assert done.returncode == Status.DAMAGED
    assert (
        "problem\tvalues-00000001.seg, mailbox large, normal, msg_id 0 to 4, 5 messages, 150080 bytes: "
        in done.stdout
    )
    summary, *problems = rows(run("check", data_dir, "--json").stdout)
    assert summary["problems"] == len(problems) == 3
    assert problems[0]["mailbox"] == "large" and problems[0]["messages"] == 5

    done = run("salvage", data_dir, tmp_path / "salvaged", "--json")
    assert done.returncode == Status.DAMAGED
    summary, damage, lost = rows(done.stdout)
    assert (summary["normal"], summary["mailboxes"]) == (5, 2)
    assert damage["kind"] == "damage" and damage["last_id"] == 4
    assert (lost["kind"], lost["mailbox"], lost["messages"]) == ("lost", "large", 5)
    assert run("check", tmp_path / "salvaged").returncode == Status.DONE


def test_salvage_of_a_sound_directory(data_dir: Path, tmp_path: Path) -> None:
    done = run("salvage", data_dir, tmp_path / "salvaged")
    assert done.returncode == Status.DONE and "normal\t10\n" in done.stdout


def test_what_cannot_be_read_is_an_error(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = start_broker()
    for command in (("check", broker.data_dir), ("salvage", broker.data_dir, tmp_path / "salvaged")):
        assert "is in use by a broker" in error(*command, status=Status.REFUSED)
    (tmp_path / "empty").mkdir()
    assert "holds no store" in error("check", tmp_path / "empty", status=Status.REFUSED)
    assert "nothing in" in error("salvage", tmp_path / "empty", tmp_path / "salvaged", status=Status.REFUSED)
