"""RabbitMQ: three nodes, and a quorum queue with a replica on each."""

import selectors
import struct
import time
from collections.abc import Mapping
from pathlib import Path

from bench.peers.amqp import Amqp, Confirms, RabbitNode, node_name, program, publish, short, start_mapper
from bench.peers.comparison import Figure, Lap, percentiles
from bench.peers.exchange import Source, exchange
from bench.peers.rows_send import BODY
from bench.peers.servers import Server, Setup
from tests.support.ports import free_port, free_ports

NODES = 3
QUEUE = b"bench"
ARGUMENTS = short(b"x-queue-type") + b"S" + struct.pack(">I", len(b"quorum")) + b"quorum"
COOKIE = "bench"


class QuorumNode(RabbitNode):
    """One node of a cluster. `ports`: of all its nodes."""

    def __init__(self, place: Path, mapper_port: int, port: int, ports: list[int]) -> None:
        self.port = port
        self._ports = ports
        super().__init__(place, mapper_port)

    def choose_port(self) -> int:
        return self.port

    def command(self) -> list[str]:
        cookie = self.place / ".erlang.cookie"
        cookie.write_text(COOKIE)
        cookie.chmod(0o400)
        nodes = "\n".join(
            f"cluster_formation.classic_config.nodes.{i} = {node_name(each)}"
            for i, each in enumerate(self._ports, 1)
        )
        (self.place / "rabbitmq.conf").write_text(
            f"cluster_formation.peer_discovery_backend = classic_config\n{nodes}\n"
        )
        return super().command()


class RabbitCluster(Server):
    """Clients connect to the first node."""

    def start(self) -> None:
        mapper_port = free_port()
        self.mapper = start_mapper(mapper_port)
        self.nodes: list[QuorumNode] = []
        ports = free_ports(NODES)
        try:
            for port in ports:
                self.nodes.append(QuorumNode(self.place / str(port), mapper_port, port, ports))
        except RuntimeError:
            self.end()
            raise
        self.port, self.process = ports[0], self.nodes[0].process

    def cpu_seconds(self) -> float:
        return sum(node.cpu_seconds() for node in self.nodes)

    def end(self) -> None:
        for node in self.nodes:
            node.end()
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
