"""`mq9fast mcp --http`: each bearer token is a user of the broker, with its permissions and its name."""

import asyncio
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.peers.servers import listens
from tests.support.broker import Broker
from tests.support.mcp_client import call, failure
from tests.support.ports import free_port
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import Wire

pytest.importorskip("mcp")

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

# The HTTP client of the SDK closes its sockets after the loop has ended.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

USERS = """
[[users]]
user = "writer"
password = "w-password"

[[users]]
user = "reader"
password = "r-password"
permissions.publish = [
    "$mq9.AI.MAILBOX.*", "$mq9.AI.MAILBOX.LIST.agent.reader", "$mq9.AI.MAILBOX.DELETE.agent.reader.*"
]
permissions.subscribe = ["_INBOX.>", "$mq9.AI.MAILBOX.MSG.agent.reader"]
"""
WRITER, READER = "bearer-of-the-writer", "bearer-of-the-reader"
SECRETS = (WRITER, READER, "w-password", "r-password")
AGENTS = f"""
[[agents]]
bearer = "{WRITER}"
address = "agent.writer"
user = "writer"
password = "w-password"

[[agents]]
bearer = "{READER}"
address = "agent.reader"
user = "reader"
password = "r-password"
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    directory = tmp_path_factory.mktemp("users")
    config = directory / "mq9.toml"
    config.write_text(USERS)
    broker = Broker(directory / "data", "--config", str(config))
    with Wire(broker.port, connect={"user": "writer", "pass": "w-password"}) as wire:
        wire.create(name="agent.reader")
    yield broker
    broker.end()


@contextmanager
def served(broker: Broker, directory: Path, *flags: str) -> Iterator[str]:
    """The URL of a server for these agents. Nothing that it writes has a secret."""
    file, log, port = directory / "agents.toml", directory / "log", free_port()
    file.write_text(AGENTS)
    arguments = ("mcp", "--agents", str(file), "--http", f"127.0.0.1:{port}", *flags)
    # These credentials of the environment are those of nobody.
    env = {**os.environ, "NATS_URL": broker.url, "NATS_USER": "nobody", "NATS_PASSWORD": "nothing"}
    with (
        log.open("wb") as written,
        subprocess.Popen(
            [sys.executable, "-m", "mq9fast", *arguments], env=env, stdout=written, stderr=written
        ) as process,
    ):
        try:
            wait_until(lambda: listens(port) or process.poll() is not None)
            assert process.poll() is None, log.read_text()
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.send_signal(signal.SIGINT)
            status = process.wait(WAIT_SECONDS)
    assert status == 0
    assert not any(secret in log.read_text() for secret in SECRETS)


@asynccontextmanager
async def client(url: str, bearer: str, mode: str = "auto") -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {bearer}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=WAIT_SECONDS) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client


def run(use: Callable[[], Any]) -> None:
    asyncio.run(asyncio.wait_for(use(), 2 * WAIT_SECONDS))


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_each_token_is_a_user_of_the_broker(broker: Broker, tmp_path: Path, mode: str) -> None:
    async def use() -> None:
        async with client(url, WRITER, mode) as writer, client(url, READER, mode) as reader:
            me, other = await call(writer, "whoami"), await call(reader, "whoami")
            assert (me["address"], me["name"]) == ("agent.writer", "writer")
            assert (other["address"], other["name"]) == ("agent.reader", "reader")
            await call(writer, "send", to="agent.reader", body="hello")
            (message,) = (await call(reader, "receive", wait_seconds=5))["messages"]
            assert (message["body"], message["sender"]) == ("hello", "writer")
            # It is held by the reader, and the writer may not settle it.
            assert "(not_held)" in await failure(writer, "done", msg_ids=[message["msg_id"]])
            await call(reader, "done", msg_ids=[message["msg_id"]])
            assert "(permission_denied)" in await failure(reader, "send", to="agent.writer", body="no")

    with served(broker, tmp_path) as url:
        run(use)


@pytest.mark.parametrize("value", ["", "Bearer wrong-wrong-wrong", "Basic x"])
def test_without_a_known_token_nothing_is_served(broker: Broker, tmp_path: Path, value: str) -> None:
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    if value:
        headers["Authorization"] = value
    with served(broker, tmp_path) as url:
        request = urllib.request.Request(url, b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}', headers)
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(request, timeout=WAIT_SECONDS)
        assert raised.value.code == 401


def test_messages_of_a_caller_that_died_go_back(broker: Broker, tmp_path: Path) -> None:
    async def take() -> None:
        async with client(url, WRITER) as writer:
            await call(writer, "send", to="agent.writer", body="task")
            assert len((await call(writer, "receive", wait_seconds=5))["messages"]) == 1

    with (
        served(broker, tmp_path, "--idle", "1s") as url,
        Wire(broker.port, connect={"user": "writer", "pass": "w-password"}) as wire,
    ):
        run(take)
        # Another member of its group gets it, while the server lives.
        wire.subscribe("agent.writer", queue="inbox")
        assert wire.message().payload == b"task"


def test_one_agent_without_tokens(broker: Broker) -> None:
    port = free_port()
    command = [sys.executable, "-m", "mq9fast", "mcp", "agent.http", "--http", f"127.0.0.1:{port}"]
    env = {**os.environ, "NATS_URL": broker.url, "NATS_USER": "writer", "NATS_PASSWORD": "w-password"}

    async def use() -> None:
        async with Client(f"http://127.0.0.1:{port}/mcp") as anybody:
            assert (await call(anybody, "whoami"))["address"] == "agent.http"

    with subprocess.Popen(command, env=env) as process:
        try:
            wait_until(lambda: listens(port))
            run(use)
        finally:
            process.send_signal(signal.SIGINT)
            status = process.wait(WAIT_SECONDS)
    assert status == 0


@pytest.mark.parametrize(
    ("flags", "agents", "status", "sentence"),
    [
        ("--http 0.0.0.0:1", None, 2, "everybody who reaches 0.0.0.0:1 is this agent"),
        ("--agents FILE", AGENTS, 2, "--agents needs --http"),
        ("--http 127.0.0.1:1 --agents FILE", None, 2, "cannot be read"),
        ("--http 127.0.0.1:1 --agents FILE", "[[agents]", 2, "is not TOML"),
        ("--http 127.0.0.1:1 --agents FILE", "", 2, "has no [[agents]]"),
        ("--http 127.0.0.1:1 --agents FILE", AGENTS.replace("address", "adress"), 2, "adress"),
        ("--http 127.0.0.1:1 --agents FILE", AGENTS.replace(READER, WRITER), 2, "the same bearer token"),
        ("--http 127.0.0.1:1 --agents FILE", AGENTS.replace(READER, "short"), 2, "agent.reader is too short"),
        ("--http 127.0.0.1:1 --agents FILE", AGENTS.replace("r-password", "wrong"), 1, "agent.reader"),
    ],
)
def test_mistakes_are_sentences(
    broker: Broker, tmp_path: Path, flags: str, agents: str | None, status: int, sentence: str
) -> None:
    file = tmp_path / "agents.toml"
    if agents is not None:
        file.write_text(agents)
    arguments = [str(file) if flag == "FILE" else flag for flag in flags.split()]
    ran = subprocess.run(
        [sys.executable, "-m", "mq9fast", "mcp", *arguments],
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        env={**os.environ, "NATS_URL": broker.url},
    )
    assert (ran.returncode, sentence in ran.stderr) == (status, True), ran.stderr
    assert not any(secret in ran.stderr for secret in SECRETS)
