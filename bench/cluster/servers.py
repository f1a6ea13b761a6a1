"""The clusters that are compared: three servers each, on this machine, that fsync before they acknowledge."""

import subprocess
import sys

from bench.peers import process
from bench.peers.nats import NatsServer
from bench.peers.servers import Server, Setup
from mq9fast.cluster.node_files import MAX_RECORD_BYTES
from tests.support.nats_cluster import NatsCluster

SETTINGS = "three nats-servers, R3, sync_interval always"


class Replicated(Server):
    """An owner, a standby, and the servers of their log. `port` and `process` are the owner's."""

    has_standby = True

    def start(self) -> None:
        self.place.mkdir(parents=True, exist_ok=True)
        self.log = NatsCluster(self.place / "log", max_payload=MAX_RECORD_BYTES)
        self.standby = self._run("standby") if self.has_standby else None
        self.process = self._run("owner")
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def _run(self, role: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "bench.cluster.node", role, str(self.place / role), *self.log.urls]
        with (self.place / f"{role}.log").open("ab") as log:
            return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)

    def ask_standby(self) -> tuple[int, int, float, list[int]]:
        """The standby's last record, the bytes and CPU seconds of what it applied since the last question,
        and for each of these records how many more the log had by then."""
        assert self.standby is not None and self.standby.stdin and self.standby.stdout
        self.standby.stdin.write(b"\n")
        self.standby.stdin.flush()
        last, size, cpu, *behind = self.standby.stdout.readline().split()
        return int(last), int(size), float(cpu), [int(each) for each in behind]

    def end(self) -> None:
        for each in (self.process, self.standby):
            if each is not None:
                each.kill()
                each.wait()
        self.log.end()


class JetStreamCluster(NatsServer):
    """Three nats-servers. Clients connect to the first one. `process` is that one's."""

    replicas = 3

    def start(self) -> None:
        self.place.mkdir(parents=True, exist_ok=True)
        self.cluster = NatsCluster(self.place / "servers")
        first = self.cluster.processes[0]
        assert first is not None
        self.port, self.process = self.cluster.ports[0], first

    def cpu_seconds(self) -> float:
        return sum(process.cpu_seconds(each.pid) for each in self.cluster.processes if each is not None)

    def end(self) -> None:
        self.cluster.end()


REPLICATED = Setup("mq9fast, log on JetStream", SETTINGS, Replicated)
JETSTREAM = Setup("JetStream R3", SETTINGS, JetStreamCluster)
