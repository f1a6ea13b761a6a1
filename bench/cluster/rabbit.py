"""RabbitMQ: three nodes, and a quorum queue with a replica on each."""

import os
import selectors
import struct
import subprocess
import time
from collections.abc import Mapping

from bench.peers import process
from bench.peers.amqp import Amqp, Confirms, program, publish, short
from bench.peers.comparison import Figure, Lap, percentiles
from bench.peers.exchange import Source, exchange
from bench.peers.rows_send import BODY
from bench.peers.servers import START_SECONDS, Server, Setup, free_port, listens

NODES = 3
QUEUE = b"bench"
ARGUMENTS = short(b"x-queue-type") + b"S" + struct.pack(">I", len(b"quorum")) + b"quorum"
COOKIE = "bench"


class RabbitCluster(Server):
    """Clients connect to the first node."""

    def start(self) -> None:
        self.mapper_port = free_port()
        command = ["epmd", "-port", str(self.mapper_port), "-address", "127.0.0.1"]
        self.mapper = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ports = [free_port() for _ in range(NODES)]
        self.nodes: list[subprocess.Popen[bytes]] = []
        for port in ports:
            self.nodes.append(self._run(port, ports))
            self._wait_for(port)
        self.port, self.process = ports[0], self.nodes[0]

    def _run(self, port: int, ports: list[int]) -> "subprocess.Popen[bytes]":
        place = self.place / str(port)
        place.mkdir(parents=True)
        cookie = place / ".erlang.cookie"
        cookie.write_text(COOKIE)
        cookie.chmod(0o400)
        nodes = "\n".join(
            f"cluster_formation.classic_config.nodes.{i} = bench{each}@localhost"
            for i, each in enumerate(ports, 1)
        )
        (place / "rabbitmq.conf").write_text(
            f"cluster_formation.peer_discovery_backend = classic_config\n{nodes}\n"
        )
        environment = {
            **os.environ,
            "HOME": str(place),
            "ERL_EPMD_PORT": str(self.mapper_port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_NODENAME": f"bench{port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_MNESIA_BASE": str(place),
            "RABBITMQ_LOG_BASE": str(place),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(place / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(place / "rabbitmq"),
        }
        with (place / "log").open("ab") as log:
            return subprocess.Popen([str(program())], stdout=log, stderr=log, env=environment, cwd=place)

    def _wait_for(self, port: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not listens(port):
            if time.monotonic() > deadline:
                self.end()
                raise RuntimeError(f"RabbitMQ did not start: {(self.place / str(port) / 'log').read_text()}")
            time.sleep(0.05)

    def cpu_seconds(self) -> float:
        return sum(process.cpu_seconds(each) for node in self.nodes for each in process.family(node.pid))

    def end(self) -> None:
        for node in self.nodes:
            for each in process.family(node.pid):
                os.kill(each, 9)
            node.wait()
        self.mapper.kill()
        self.mapper.wait()


QUORUM = Setup(
    "RabbitMQ quorum queue",
    "three nodes, publisher confirms",
    RabbitCluster,
    "" if program() else "rabbitmq-server is not installed",
)


def rabbit_pipelined(server: Server, *, row: str, count: int) -> Mapping[str, Figure]:
    connection = Amqp(server.port, QUEUE, ARGUMENTS)
    with Lap(server) as lap:
        exchange(
            [Source(connection.socket, [publish(QUEUE, BODY)], count)], [Confirms(connection.socket, count)]
        )
    return {row: lap.rate(count)}


def rabbit_senders(server: Server, *, row: str, count: int, senders: int) -> Mapping[str, Figure]:
    connections = [Amqp(server.port, QUEUE, ARGUMENTS) for _ in range(senders)]
    frame = publish(QUEUE, BODY)
    selector = selectors.DefaultSelector()
    for each in connections:
        selector.register(each.socket, selectors.EVENT_READ, each.socket)
    with Lap(server) as lap:
        for each in connections:
            each.socket.sendall(frame)
        left = count
        while left > 0:
            for key, _ in selector.select():
                key.data.recv(4096)
                key.data.sendall(frame)
                left -= 1
    return {row: lap.rate(count - left)}


def rabbit_in_turn(server: Server, *, row: str, count: int) -> Mapping[str, Figure]:
    connection, frame = Amqp(server.port, QUEUE, ARGUMENTS).socket, publish(QUEUE, BODY)
    times = []
    with Lap(server) as lap:
        for _ in range(count):
            start = time.perf_counter()
            connection.sendall(frame)
            connection.recv(4096)
            times.append(time.perf_counter() - start)
    return percentiles(lap, row, times)
