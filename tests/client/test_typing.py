"""What a type checker sees of the client, for programs that are checked strictly."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import asyncio
from typing import Any

import msgspec
from typing_extensions import assert_type

import mq9fast
from mq9fast.client import Answer, Decision, GiveBack, ListedMessage, Mailbox
from mq9fast.client import Message, Mq9, Sent, Settled, SyncAnswer, SyncMailbox, SyncMessage, SyncMq9
from mq9fast.client import Ticket


class Task(msgspec.Struct):
    name: str


class Result(msgspec.Struct):
    ok: bool


async def main() -> None:
    async with mq9fast.connect("nats://127.0.0.1:4222", name="a") as mq9:
        assert_type(mq9, Mq9)
        async with mq9.mailbox("tasks", of=Task, ttl=60, max_deliver=3, backoff=[1, 2.5]) as tasks:
            assert_type(tasks, Mailbox[Task])
            async for message in tasks:
                async with message:
                    assert_type(message, Message[Task])
                    assert_type(message.body.name, str)
                    assert_type(message.sender, str | None)
                    assert_type(await message.reply(Result(True)), Settled)
        assert_type(await mq9.send("tasks", Task("x"), priority="urgent", headers={"a": "b"}), Sent)
        assert_type(await mq9.ask("tasks", Task("x"), of=Result, timeout=5), Answer[Result])
        assert_type((await mq9.ask("tasks", "text")).body, Any)
        assert_type(await mq9.send_question("tasks", "text"), Ticket)
        assert_type(await mq9.approve("boss", "Deploy?", "deploy", {"version": 7}, expires=3600), Decision)
        async with mq9.group("tasks", "workers", of=bytes) as workers:
            assert_type((await workers.next()).body, bytes)
        assert_type([each async for each in mq9.list("tasks")], list[ListedMessage])
        async for each in mq9.find("agent."):
            assert_type(each.total, int)
        async for event in mq9.events("tasks"):
            assert_type(event.event, str)
        raise GiveBack(delay=5)


def without_a_loop() -> None:
    with mq9fast.connect_sync("nats://127.0.0.1:4222", name="a") as mq9:
        assert_type(mq9, SyncMq9)
        with mq9.mailbox("tasks", of=Task, ttl=60, max_deliver=3) as tasks:
            assert_type(tasks, SyncMailbox[Task])
            for message in tasks:
                with message:
                    assert_type(message, SyncMessage[Task])
                    assert_type(message.body.name, str)
                    assert_type(message.reply(Result(True)), Settled)
        assert_type(mq9.send("tasks", Task("x"), priority="urgent", headers={"a": "b"}), Sent)
        assert_type(mq9.ask("tasks", Task("x"), of=Result, timeout=5), SyncAnswer[Result])
        assert_type(mq9.send_question("tasks", "text"), Ticket)
        assert_type(mq9.approve("boss", "Deploy?", "deploy", {"version": 7}, expires=3600), Decision)
        with mq9.group("tasks", "workers", of=bytes) as workers:
            assert_type(workers.next().body, bytes)
        assert_type(list(mq9.list("tasks")), list[ListedMessage])
        for event in mq9.events("tasks"):
            assert_type(event.event, str)


asyncio.run(main())
without_a_loop()
"""
WRONG = {
    'mq9fast.connect_sync().send("a", "b", prority="urgent")': "prority",
    'mq9fast.connect_sync().creat("a")': "creat",
    'await mq9.send("a", "b", priority="high")': "high",
    'await mq9.send("a", "b", colour="red")': "colour",
    'await mq9.create("a", max_mesages=1)': "max_mesages",
    'int((await mq9.send("a", "b")).msg_idd)': "msg_idd",
}
CHECKERS = {
    "mypy": (
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--follow-imports=silent",
        "--no-error-summary",
        "--cache-dir",
    ),
    "pyright": (sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--project"),
}
# Type checkers do not find a package that is installed in place.
ROOT = Path(__file__).parents[2]


def check(checker: str, directory: Path, program: str) -> subprocess.CompletedProcess[str]:
    (directory / "program.py").write_text(program)
    config = {"typeCheckingMode": "strict", "include": ["program.py"], "extraPaths": [str(ROOT)]}
    (directory / "pyrightconfig.json").write_text(json.dumps(config))
    return subprocess.run(
        [*CHECKERS[checker], directory, *([directory / "program.py"] if checker == "mypy" else [])],
        capture_output=True,
        text=True,
        cwd=directory,
        env={
            **os.environ,
            "MYPYPATH": str(ROOT),
            "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1",
            "NODE_USE_SYSTEM_CA": "1",
        },
    )


@pytest.fixture(scope="module", params=sorted(CHECKERS))
def checker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A type checker that works here: pyright fetches itself from npm when it is first used."""
    checker = str(request.param)
    done = check(checker, tmp_path_factory.mktemp("checker"), "x: int = 1\n")
    if done.returncode and checker == "pyright":
        pytest.skip("pyright could not be installed")
    assert done.returncode == 0, done.stdout + done.stderr
    return checker


def test_program_is_typed(checker: str, tmp_path: Path) -> None:
    done = check(checker, tmp_path, PROGRAM)
    assert done.returncode == 0, done.stdout + done.stderr


def test_mistakes_are_found(checker: str, tmp_path: Path) -> None:
    head = "import mq9fast\nfrom mq9fast.client import Mq9\nasync def main(mq9: Mq9) -> None:"
    done = check(checker, tmp_path, "\n    ".join((head, *WRONG)) + "\n")
    assert done.returncode != 0
    for word in WRONG.values():
        assert word in done.stdout, done.stdout
