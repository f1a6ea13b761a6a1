"""Three nodes on this machine, each by `mq9fast cluster start`: real brokers and nats-servers."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from mq9fast.cluster.peers import Peer, read_peers
from tests.support.waiting import START_SECONDS, WAIT_SECONDS, wait_until

NAMES = ("n1", "n2", "n3")
BROKER, LOG_SERVER = "mq9fast --config", "nats-server -c"
ASK_SECONDS = 2.0


def free_base_port() -> int:
    """A port for clients so that all ports that follow from it are free now."""
    while True:
        port = random.randrange(12_000, 28_000, 10)
        wanted = [peer_port for peer in read_peers(",".join(NAMES), port) for peer_port in _ports(peer)]
        try:
            sockets = [socket.create_server(("127.0.0.1", each)) for each in wanted]
        except OSError:
            continue
        for each in sockets:
            each.close()
        return port


def _ports(peer: Peer) -> tuple[int, ...]:
    return (
        peer.client_port,
        peer.log_port,
        peer.route_port,
        peer.transfer_port,
        peer.monitor_port,
        peer.log_monitor_port,
    )


class LocalCluster:
    """The nodes run, and one of them serves, when the constructor returns.

    `whole`: wait for that. `env`: more of the environment of the nodes.
    """

    def __init__(self, directory: Path, *, whole: bool = True, **env: str) -> None:
        self.directory = directory
        self._env = {**os.environ, **env}
        self.port = free_base_port()
        self.peers = {peer.name: peer for peer in read_peers(",".join(NAMES), self.port)}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in NAMES:
            self.start(name)
        if not whole:
            return
        try:
            self.wait_until_whole()
        except AssertionError:
            self.end()
            raise

    def start(self, name: str) -> None:
        """Start a node, which may have been killed before."""
        command = (sys.executable, "-m", "mq9fast", "cluster", "start", "--name", name)
        with (self.directory / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*command, "--peers", ",".join(NAMES), "--port", str(self.port)],
                cwd=self.directory,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def urls(self) -> list[str]:
        return [f"nats://127.0.0.1:{peer.client_port}" for peer in self.peers.values()]

    def data_dir(self, name: str) -> Path:
        return self.directory / name / "data"

    def status(self, name: str) -> dict[str, Any] | None:
        """What /clusterz of a node says, None if it does not answer."""
        return _page(self.peers[name].monitor_port, "clusterz")

    def roles(self) -> dict[str, str]:
        """What each node that answers says about itself."""
        found = {}
        for name in NAMES:
            status = self.status(name)
            if status is not None:
                found[name] = next(each["role"] for each in status["nodes"] if each["node"] == name)
        return found

    def owner(self) -> str:
        """The name of the node that serves. Waits for one."""
        found: list[str] = []

        def serves() -> bool:
            found[:] = [name for name, role in self.roles().items() if role == "owner"]
            return len(found) == 1

        wait_until(serves, START_SECONDS)
        return found[0]

    def log_leader(self) -> str:
        """The node that has the nats-server that leads the log. Waits for one."""
        found: list[str] = []

        def leads() -> bool:
            for name in NAMES:
                page = _page(self.peers[name].log_monitor_port, "jsz?accounts=1&streams=1")
                for account in (page or {}).get("account_details", ()):
                    for stream in account.get("stream_detail", ()):
                        if stream["name"] == "MQ9_LOG" and stream["cluster"].get("leader"):
                            found[:] = [stream["cluster"]["leader"]]
                            return True
            return False

        wait_until(leads, START_SECONDS)
        return found[0]

    def wait_until_whole(self) -> None:
        """Wait until one node is the owner, and the others are standbys."""
        wait_until(lambda: sorted(self.roles().values()) == ["owner", "standby", "standby"], START_SECONDS)

    def pid(self, name: str, program: str) -> int:
        """The process of BROKER or LOG_SERVER of a node. Waits for it."""
        supervisor = self.processes[name].pid
        found: list[int] = []

        def runs() -> bool:
            children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
            found[:] = [int(each) for each in children if program in _command_line(each)]
            return bool(found)

        wait_until(runs, START_SECONDS)
        return found[0]

    def signal(self, name: str, program: str, number: int) -> int:
        """Send a signal to a program of a node; returns its pid."""
        pid = self.pid(name, program)
        os.kill(pid, number)
        return pid

    def kill(self, name: str) -> None:
        """SIGKILL everything of a node, as when its machine is lost. `start` brings it back."""
        pids = [self.pid(name, program) for program in (BROKER, LOG_SERVER)]
        process = self.processes[name]
        process.kill()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        process.wait(WAIT_SECONDS)

    def kill_all(self) -> None:
        """SIGKILL everything, whatever state it is in."""
        for name, process in self.processes.items():
            if process.poll() is None:
                self.kill(name)

    def forget_data(self, name: str) -> None:
        """Remove the store of a node that does not run."""
        shutil.rmtree(self.data_dir(name))

    def end(self) -> None:
        """Stop all nodes, in any state, and check that no log has a traceback."""
        for name, process in self.processes.items():
            if process.poll() is None:
                for program in (BROKER, LOG_SERVER):
                    self.signal(name, program, signal.SIGCONT)
                process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(WAIT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(WAIT_SECONDS)
        for name in NAMES:
            log = (self.directory / f"{name}.log").read_text()
            assert "Traceback" not in log, log


def _page(port: int, path: str) -> dict[str, Any] | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=ASK_SECONDS) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except (OSError, ValueError):
        return None


def _command_line(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
