"""The servers as processes: each in its own directory, on a free port of the loopback interface."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.peers import process
from tests.support.broker import Broker
from tests.support.ports import free_port

# Far longer than a busy machine takes.
START_SECONDS = 300.0
STOP_SECONDS = 60.0
# In half seconds.
MIN_QUIET_CHECKS = 7
# `python -m mq9fast` of the directory that is the first argument, whatever is installed.
RUN_OTHER = """
import runpy, sys
sys.path[0] = sys.argv.pop(1)
runpy.run_module("mq9fast", run_name="__main__", alter_sys=True)
"""


class Server:
    """A process that listens on `port`. The subclass gives its command, which may write files to `place`."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.environment: dict[str, str] = {}
        self.start()

    def command(self) -> list[str]:
        raise NotImplementedError

    def choose_port(self) -> int:
        return free_port()

    def start(self) -> None:
        """Start the process. Return when it accepts connections."""
        self.place.mkdir(parents=True, exist_ok=True)
        self.port = self.choose_port()
        command = self.command()
        with (self.place / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, **self.environment}, cwd=self.place
            )
        deadline = time.monotonic() + START_SECONDS
        while not listens(self.port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                if self.process.poll() is None:
                    self.end()
                raise RuntimeError(f"{command} did not start: {(self.place / 'log').read_text()[-2000:]}")
            time.sleep(0.002)

    @property
    def pid(self) -> int:
        return self.process.pid

    def cpu_seconds(self) -> float:
        return process.cpu_seconds(self.pid)

    def rss_bytes(self) -> int:
        return process.rss_bytes(self.pid)

    def settled_rss_bytes(self) -> int:
        """Return the resident bytes when the server is idle, so that its background work is done."""
        deadline = time.monotonic() + 30
        quiet = 0
        while time.monotonic() < deadline and quiet < MIN_QUIET_CHECKS:
            before = self.cpu_seconds()
            time.sleep(0.5)
            quiet = quiet + 1 if self.cpu_seconds() - before < 0.025 else 0
        return self.rss_bytes()

    def stop(self) -> None:
        """Stop the server as an operator would, with SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(STOP_SECONDS)

    def end(self) -> None:
        """Kill the server and its children. Their data is thrown away."""
        family = process.family(self.pid)
        for each in family:
            os.kill(each, signal.SIGKILL)
        self.process.wait()
        while any(process.runs(each) for each in family):
            time.sleep(0.01)


class Mq9fast(Server):
    """`tree`: the directory of another build, or None for this one."""

    def __init__(self, place: Path, *flags: str, tree: Path | None = None) -> None:
        self.flags = flags
        self.module_command = None if tree is None else (sys.executable, "-c", RUN_OTHER, str(tree))
        super().__init__(place)

    def start(self) -> None:
        self.place.mkdir(parents=True, exist_ok=True)
        self.broker = Broker(self.place / "data", *self.flags, command=self.module_command)
        self.port, self.process = self.broker.port, self.broker.process

    def stop(self) -> None:
        self.broker.stop()

    def end(self) -> None:
        self.broker.end()


@dataclass(frozen=True)
class Setup:
    """A server, its settings, and a function that starts it in a directory. `missing`: why it cannot."""

    name: str
    settings: str
    start: Callable[[Path], Server]
    missing: str = ""


def mq9fast(sync: str = "always", *flags: str, tree: Path | None = None) -> Setup:
    return Setup("mq9fast", f"--sync {sync}", lambda place: Mq9fast(place, "--sync", sync, *flags, tree=tree))


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
