"""What a cluster tells clients about its nodes, in INFO and /varz, and an owner whose port is taken."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.local_cluster import BROKER, LOG_SERVER, NAMES, LocalCluster, needs_nodes
from tests.support.monitoring import get, read
from tests.support.ports import free_ports
from tests.support.waiting import START_SECONDS, WAIT_SECONDS, wait_until
from tests.support.wire_client import Wire

pytestmark = needs_nodes


def address(port: int) -> str:
    return f"127.0.0.1:{port}"


def info_of(port: int) -> dict[str, Any]:
    with Wire(port, None) as wire:
        return wire.info


def test_owner_tells_the_addresses_of_all_nodes(cluster: LocalCluster) -> None:
    owner = cluster.peers[cluster.owner()]
    others = [address(cluster.peers[name].client_port) for name in NAMES if name != owner.name]
    expected = {"name": "MQ9", "urls": others}
    wait_until(lambda: read(owner.monitor_port, "/varz")["cluster"] == expected)
    assert read(owner.monitor_port, "/varz")["routes"] == 0
    assert read(owner.monitor_port, "/routez")["routes"] == []
    info = info_of(owner.client_port)
    assert info["cluster"] == "MQ9"
    assert info["connect_urls"] == [address(owner.client_port), *others]


def test_standby_has_only_pages_about_the_cluster(cluster: LocalCluster) -> None:
    owner = cluster.owner()
    standby = next(name for name in NAMES if name != owner)
    port = cluster.peers[standby].monitor_port
    assert read(port, "/healthz") == {"status": "ok", "role": "standby"}
    # Nodes tell each other their states twice a second.
    wait_until(lambda: read(port, "/clusterz")["owner"] == owner)
    assert get(port, "/varz")[0] == 404


class BareNode:
    """A broker that is started by itself, with servers of a log that run already."""

    def __init__(self, servers: LocalCluster, name: str, directory: Path, cluster: str = "BARE") -> None:
        self.port, self.monitor = free_ports(2)
        self.log = directory / f"{name}.log"
        peers = servers.peers.values()
        settings = {
            "cluster-log": ",".join(f"nats://{address(peer.log_port)}" for peer in peers),
            "cluster-log-monitor": ",".join(f"http://{address(peer.log_monitor_port)}" for peer in peers),
            "cluster-name": cluster,
            "node-name": name,
            "port": self.port,
            "monitor-port": self.monitor,
            "data-dir": directory / name,
            "log-file": self.log,
        }
        flags = [f"--{key}={value}" for key, value in settings.items()]
        self.command = [sys.executable, "-m", "mq9fast", *flags]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(WAIT_SECONDS)


@pytest.fixture
def bare_nodes(cluster: LocalCluster, tmp_path: Path) -> Iterator[list[BareNode]]:
    nodes: list[BareNode] = []
    try:
        for name in ("a", "b"):
            nodes.append(BareNode(cluster, name, tmp_path))
            role = "owner" if name == "a" else "standby"
            wait_until(lambda role=role: _role(nodes[-1]) == role, START_SECONDS)
        yield nodes
    finally:
        for node in nodes:
            node.stop()


def _role(node: BareNode) -> str:
    with contextlib.suppress(OSError):
        states = read(node.monitor, "/clusterz")
        return next(str(each["role"]) for each in states["nodes"] if each["node"] == states["node"])
    return ""


def test_nodes_without_advertise_tell_the_addresses_that_they_hear(bare_nodes: list[BareNode]) -> None:
    owner, standby = bare_nodes
    told = [address(standby.port)]
    wait_until(lambda: info_of(owner.port).get("connect_urls") == told)
    assert read(owner.monitor, "/varz")["cluster"] == {"name": "BARE", "urls": told}
    with Wire(owner.port) as wire:
        wire.ping()
        standby.stop()
        # Clients that are connected learn it.
        while _next_info(wire).get("connect_urls"):
            pass
    assert read(owner.monitor, "/varz")["cluster"]["urls"] == []


def _next_info(wire: Wire) -> dict[str, Any]:
    while not (line := wire.line()).startswith("INFO "):
        pass
    info: dict[str, Any] = json.loads(line.removeprefix("INFO "))
    return info


def test_owner_that_was_cut_off_and_whose_port_is_taken_hands_over(cluster: LocalCluster) -> None:
    owner = cluster.owner()
    others = [name for name in NAMES if name != owner]
    port = cluster.peers[owner].client_port
    # Nobody can take over while the owner is cut off from the log.
    brokers = [cluster.signal(name, BROKER, signal.SIGSTOP) for name in others]
    servers = [cluster.signal(name, LOG_SERVER, signal.SIGSTOP) for name in others]
    try:
        wait_until(lambda: refuses(port))
        with socket.create_server(("127.0.0.1", port)):
            let_go_on(servers)
            log = cluster.directory / f"{owner}.log"
            wait_until(lambda: "clients cannot come back" in log.read_text())
            let_go_on(brokers)
            wait_until(lambda: "owner" in cluster.roles(others).values())
    finally:
        let_go_on(servers + brokers)
    cluster.wait_until_whole()
    wait_until(lambda: cluster.health(owner) == "")


def test_node_whose_port_is_taken_names_it_and_serves_when_it_is_free(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    node = BareNode(cluster, "a", tmp_path, "TAKEN")
    try:
        wait_until(lambda: _role(node) == "owner", START_SECONDS)
        node.stop()
        with socket.create_server(("127.0.0.1", node.port)):
            node.start()
            reason = (
                f"this node cannot serve: cannot listen on {address(node.port)}: "
                "another process uses this port; stop it, or change port"
            )
            wait_until(lambda: reason in node.log.read_text(), START_SECONDS)
            wait_until(lambda: _error(node) == reason)
        wait_until(lambda: _role(node) == "owner" and not _error(node))
        assert "the store does not follow" not in node.log.read_text()
    finally:
        node.stop()


def _error(node: BareNode) -> str:
    """What /healthz says is wrong, "" if nothing is."""
    with contextlib.suppress(OSError):
        return str(json.loads(get(node.monitor, "/healthz")[2]).get("error", ""))
    return "no answer"


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return True
    return False


def let_go_on(pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
