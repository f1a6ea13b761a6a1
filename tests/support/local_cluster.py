"""Three nodes on this machine, each by `mq9fast cluster start`: real brokers and nats-servers."""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mq9fast.cluster.peers import Peer, read_peers
from tests.support.nats_server import NATS_SERVER
from tests.support.network import Network
from tests.support.waiting import START_SECONDS, WAIT_SECONDS, wait_until

NAMES = ("n1", "n2", "n3")
BROKER, LOG_SERVER = "mq9fast --config", "nats-server -c"
# Streams: the log, and the bucket with the owner's record.
LOG, OWNER_BUCKET = "MQ9_LOG", "KV_MQ9_OWNER"
ASK_SECONDS = 2.0
# The `pytestmark` of tests that run nodes.
needs_nodes = [
    pytest.mark.skipif(
        NATS_SERVER is None or not Path("/proc/self/task").exists(), reason="needs nats-server and /proc"
    ),
    # nats-py leaves the socket of a connection that it has lost to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
# Where nodes have a network, clients are a member of it, too.
CLIENTS = "clients"
PORT_IN_NETWORK = 4222


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

    `whole`: wait for that. `network`: each node is the member of that name, instead of all being on one
    address of this machine; CLIENTS is the member from which clients connect. `flags`: more of the command
    line of each node. `env`: more of the environment of the nodes.
    """

    def __init__(
        self,
        directory: Path,
        *,
        whole: bool = True,
        network: Network | None = None,
        flags: Sequence[str] = (),
        **env: str,
    ) -> None:
        self.directory = directory
        self._flags = flags
        self.network = network
        self._peers_text = ",".join(NAMES)
        if network is None:
            self.port = free_base_port()
        else:
            self.port = PORT_IN_NETWORK
            self._peers_text = ",".join(f"{name}={network.address(name)}" for name in NAMES)
            env["MQ9FAST_CLUSTER_SECRET"] = "a secret of all nodes"
        self._env = {**os.environ, **env}
        self.peers = {peer.name: peer for peer in read_peers(self._peers_text, self.port)}
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

    def start(self, name: str, **env: str) -> None:
        """Start a node, which may have been killed before. `env`: more of its environment."""
        command = (sys.executable, "-m", "mq9fast", "cluster", "start", "--name", name)
        with (self.directory / f"{name}.log").open("ab") as log, self.inside(name):
            self.processes[name] = subprocess.Popen(
                [*command, "--peers", self._peers_text, "--port", str(self.port), *self._flags],
                cwd=self.directory,
                env={**self._env, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def inside(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Move this thread to a node, or to CLIENTS, if they have a network."""
        return contextlib.nullcontext() if self.network is None else self.network.inside(name)

    @property
    def urls(self) -> list[str]:
        return [self.url(name) for name in NAMES]

    def url(self, name: str) -> str:
        """The address of a node for clients."""
        return f"nats://{self.peers[name].host}:{self.peers[name].client_port}"

    def data_dir(self, name: str) -> Path:
        return self.directory / name / "data"

    def status(self, name: str) -> dict[str, Any] | None:
        """What /clusterz of a node says, None if it does not answer."""
        return self._page(name, self.peers[name].monitor_port, "clusterz")

    def states(self, name: str) -> list[dict[str, Any]]:
        """What a node says about itself and those that it hears; nothing if it does not answer."""
        return list((self.status(name) or {"nodes": ()})["nodes"])

    def rows(self) -> list[dict[str, Any]]:
        """What `mq9fast cluster status` prints."""
        urls = [f"http://127.0.0.1:{peer.monitor_port}" for peer in self.peers.values()]
        done = subprocess.run(
            [sys.executable, "-m", "mq9fast", "cluster", "status", "--json", "--monitor", ",".join(urls)],
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def health(self, name: str) -> str:
        """The faults that /healthz of a node tells, "" if it is well."""
        url = f"http://127.0.0.1:{self.peers[name].monitor_port}/healthz"
        try:
            with urllib.request.urlopen(url, timeout=ASK_SECONDS):
                return ""
        except urllib.error.HTTPError as error:
            return str(json.load(error)["error"])
        except OSError as error:
            return f"no answer: {error}"

    def _page(self, name: str, port: int, path: str) -> dict[str, Any] | None:
        with self.inside(name):
            return _page(port, path)

    def roles(self, names: Sequence[str] = NAMES) -> dict[str, str]:
        """What each of these nodes says about itself, if it answers."""
        found = {}
        for name in names:
            for each in self.states(name):
                if each["node"] == name:
                    found[name] = each["role"]
        return found

    def owner(self) -> str:
        """The name of the node that serves. Waits for one."""
        found: list[str] = []

        def serves() -> bool:
            found[:] = [name for name, role in self.roles().items() if role == "owner"]
            return len(found) == 1

        wait_until(serves, START_SECONDS)
        return found[0]

    def stream(self, stream_name: str, asked: Sequence[str] = NAMES) -> dict[str, Any]:
        """What a nats-server of these nodes says about a stream; nothing if none answers."""
        for name in asked:
            page = self._page(name, self.peers[name].log_monitor_port, "jsz?accounts=1&streams=1")
            for account in (page or {}).get("account_details", ()):
                for stream in account.get("stream_detail", ()):
                    if stream["name"] == stream_name:
                        found: dict[str, Any] = stream
                        return found
        return {}

    def log_leader(self, asked: Sequence[str] = NAMES) -> str:
        """The node that has the nats-server that leads the log, as one of those asked says. Waits for one."""
        return self.leader(LOG, asked)

    def leader(self, stream_name: str, asked: Sequence[str] = NAMES) -> str:
        """The same for any stream."""
        found: list[str] = []

        def leads() -> bool:
            for name in asked:
                leader = self.stream(stream_name, [name]).get("cluster", {}).get("leader")
                if leader:
                    found[:] = [leader]
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

    def stop(self, name: str) -> None:
        """Stop a node with SIGTERM, as an operator does. `start` brings it back."""
        process = self.processes[name]
        process.send_signal(signal.SIGTERM)
        process.wait(WAIT_SECONDS)

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
