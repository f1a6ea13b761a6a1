"""`mq9fast dev`: the broker that it starts, and what it prints to paste."""

import asyncio
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import MQ9FAST, error
from tests.support.nats_py import connect
from tests.support.node import MODULES, NODE, needs_node
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.websocket_client import request
from tests.support.wire_client import Wire


class Dev:
    """A running `mq9fast dev`."""

    def __init__(self, *flags: str, cwd: Path, **env: str) -> None:
        self.process = subprocess.Popen(
            [*MQ9FAST, "dev", *flags],
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(cwd), **env},
        )
        assert self.process.stdout is not None
        self.lines: list[str] = []
        while not self.lines or not self.lines[-1].startswith(("Ctrl-C", "{")):
            line = self.process.stdout.readline()
            assert line, self.process.communicate()[1]
            self.lines.append(line.rstrip("\n"))

    @property
    def port(self) -> int:
        return int(self.lines[0].rpartition(":")[2])

    def snippet(self, title: str) -> str:
        """What stands under the heading that begins with `title`."""
        begin = next(number for number, line in enumerate(self.lines) if line.startswith(f"# {title}")) + 1
        length = next(
            number for number, line in enumerate(self.lines[begin:]) if line.startswith(("# ", "Ctrl-C"))
        )
        return "\n".join(self.lines[begin : begin + length]).strip()

    def interrupt(self) -> str:
        """Press Ctrl-C. Returns what it wrote to standard error."""
        self.process.send_signal(signal.SIGINT)
        out, errors = self.process.communicate(timeout=WAIT_SECONDS)
        assert (self.process.returncode, out) == (0, "")
        return errors

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[type[Dev]]:
    started: list[Dev] = []

    def begin(*flags: str, **env: str) -> Dev:
        started.append(Dev(*flags, cwd=tmp_path, **env))
        return started[-1]

    yield begin  # type: ignore[misc]
    for each in started:
        each.end()


def test_it_serves_until_ctrl_c_and_leaves_nothing(start: type[Dev], tmp_path: Path) -> None:
    dev = start("--port", "0")
    with Wire(dev.port) as wire:
        wire.create(name="a")
    assert dev.lines[1].endswith(", removed at the end")
    assert len(list(tmp_path.iterdir())) == 1
    assert dev.interrupt() == ""
    assert list(tmp_path.iterdir()) == []


def test_a_given_directory_is_kept(start: type[Dev], tmp_path: Path) -> None:
    for is_new in (True, False):
        dev = start("--port", "0", "--data-dir", "kept")
        assert dev.lines[1] == "data in kept, kept"
        with Wire(dev.port) as wire:
            assert wire.create(name="a")["is_new"] is is_new
        dev.interrupt()
    assert (tmp_path / "kept").is_dir()


def test_python_to_paste(start: type[Dev], tmp_path: Path) -> None:
    program = start("--port", "0").snippet("Python")
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=WAIT_SECONDS
    )
    assert (ran.stdout, ran.stderr) == ("hello from Python\n", "")


@needs_node
def test_typescript_to_paste(start: type[Dev], tmp_path: Path) -> None:
    """It has no types to strip, so Node runs it as it is."""
    assert NODE is not None
    (tmp_path / "node_modules").symlink_to(MODULES)
    (tmp_path / "paste.mjs").write_text(start("--port", "0").snippet("TypeScript"))
    ran = subprocess.run(
        [NODE, "--preserve-symlinks", "paste.mjs"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
    )
    assert (ran.stdout, ran.stderr) == ("hello from TypeScript\n", "")


def test_shell_to_paste(start: type[Dev]) -> None:
    """The nats CLI sends the payload of `nats request SUBJECT PAYLOAD` as it is."""

    async def send(commands: list[list[str]]) -> list[str]:
        replies = []
        for program, flag, url, verb, subject, payload in commands:
            assert (program, flag, verb) == ("nats", "--server", "request")
            client = await connect(url)
            replies.append((await client.request(subject, payload.encode())).data.decode())
            await client.close()
        return replies

    text = start("--port", "0").snippet("nats CLI")
    created, sent, listed = asyncio.run(send([shlex.split(line) for line in text.splitlines()]))
    assert json.loads(created)["is_new"] and json.loads(sent) == {"msg_id": 0}
    assert json.loads(listed)["messages"][0]["payload"] == "hello from a shell"


def test_json_is_one_object(start: type[Dev], tmp_path: Path) -> None:
    (line,) = start("--port", "0", "--ws-port", "0", "--json").lines
    ready = json.loads(line)
    assert set(ready) == {"url", "ws_url", "console_url", "data_dir"}
    assert ready["ws_url"].startswith("ws://127.0.0.1:")
    assert ready["console_url"] == ready["ws_url"].replace("ws:", "http:") + "/"


def test_the_console_is_named_unless_there_is_no_port_for_it(start: type[Dev]) -> None:
    assert re.fullmatch(
        r"console on http://127.0.0.1:\d+/, WebSocket clients on ws://.*", start("--port", "0").lines[2]
    )
    assert start("--port", "0", "--ws-port", "-1").lines[2] == ""


def test_open_starts_the_browser_with_the_console(start: type[Dev], tmp_path: Path) -> None:
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}.new && mv {opened}.new {opened}\n')
    browser.chmod(0o755)
    dev = start("--open", "--json", "--port", "0", "--ws-port", "0", BROWSER=f"{browser} %s")
    wait_until(opened.exists)
    assert opened.read_text().strip() == json.loads(dev.lines[-1])["console_url"]


def test_no_browser_is_started_without_open(start: type[Dev], tmp_path: Path) -> None:
    (tmp_path / "browser").write_text(f"#!/bin/sh\ntouch {tmp_path}/opened\n")
    (tmp_path / "browser").chmod(0o755)
    dev = start("--json", "--port", "0", "--ws-port", "0", BROWSER=f"{tmp_path}/browser %s")
    dev.interrupt()
    assert not (tmp_path / "opened").exists()


def test_web_pages_other_than_the_console_may_not_connect(start: type[Dev]) -> None:
    ready = json.loads(start("--port", "0", "--json").lines[0])
    port = int(ready["ws_url"].rpartition(":")[2])
    for origin, expected in ((f"http://127.0.0.1:{port}", 101), ("http://evil.example", 403)):
        with socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS) as peer:
            peer.sendall(request(Host=f"127.0.0.1:{port}", Origin=origin))
            assert int(peer.recv(65536).split()[1]) == expected


def test_a_port_in_use_is_told_with_what_to_do(start: type[Dev]) -> None:
    dev = start("--port", "0")
    assert error("dev", "--port", str(dev.port), status=1) == (
        f"mq9fast: cannot listen on 127.0.0.1:{dev.port}: another process uses this port; "
        "stop it, or change port\n"
        "hint: mq9fast doctor shows which process has a port, and more\n"
    )


def test_the_default_port_gives_way_to_a_free_one(start: type[Dev]) -> None:
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind(("127.0.0.1", 4222))
            holder.listen()
        except OSError:
            pass  # another program has it: that is as good
        dev = start()
        assert dev.port != 4222
        assert dev.interrupt() == ""
