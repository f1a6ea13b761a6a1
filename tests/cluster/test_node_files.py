"""What `mq9fast cluster start` reads of its peers, and the files that it writes for a node."""

import os
import subprocess
from pathlib import Path

import pytest

from mq9fast.cluster.node_files import NodeFiles
from mq9fast.cluster.peers import PeersError, read_peers
from mq9fast.cluster.supervisor import nats_server
from mq9fast.config.sources import load_settings
from mq9fast.errors import StartError

MACHINES = "n1=10.0.0.1,n2=10.0.0.2,n3=host-3.example"


def test_ports_of_nodes_on_one_machine_differ() -> None:
    peers = read_peers("n1,n2,n3", 4222)
    ports = [
        port
        for each in peers
        for port in (
            each.client_port,
            each.log_port,
            each.route_port,
            each.transfer_port,
            each.monitor_port,
            each.log_monitor_port,
        )
    ]
    assert len(set(ports)) == len(ports)
    assert [each.client_port for each in peers] == [4222, 4223, 4224]
    assert all(each.is_local for each in peers)


def test_nodes_on_several_machines_have_the_same_ports() -> None:
    peers = read_peers(MACHINES, 4222)
    assert {(each.client_port, each.log_port) for each in peers} == {(4222, 4232)}
    assert not any(each.is_local for each in peers)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("n1,n2", "3 to 9 nodes, not 2"),
        ("n1,n2,n1", "listed twice"),
        ("n1,n2,a b", "'a b' is not a node"),
        ("n1,n2,n3=", "is not a node"),
        ("n1,n2,n3=10.0.0.1", "give all"),
        (",".join(f"n{number}" for number in range(10)), "not 10"),
    ],
)
def test_wrong_peers(text: str, reason: str) -> None:
    with pytest.raises(PeersError, match=reason):
        read_peers(text, 4222)


@pytest.mark.parametrize(("peers", "secret"), [("n1,n2,n3", ""), (MACHINES, "correct horse")])
def test_both_programs_accept_the_files(tmp_path: Path, peers: str, secret: str) -> None:
    listed = read_peers(peers, 4222)
    more = tmp_path / "more.toml"
    more.write_text('max_payload = 12345\n[[users]]\nuser = "anna"\npassword = "x"\n')
    files = NodeFiles(tmp_path / "n2", listed[1], listed, secret, more)
    files.write()
    done = subprocess.run([nats_server(), "-t", "-c", files.log_config], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    settings = load_settings(["--config", str(files.broker_config)], {})
    assert (settings.node_name, settings.max_payload) == ("n2", 12345)
    assert len(settings.cluster_log.split(",")) == 3
    assert [user.name for user in settings.users] == ["anna"]
    clients = [f"{peer.host}:{peer.client_port}" for peer in listed]
    assert settings.advertised[0] == clients[1] and sorted(settings.advertised) == sorted(clients)
    for path in (files.log_config, files.broker_config):
        assert path.stat().st_mode & 0o777 == 0o600
        assert "correct horse" not in path.read_text()


def test_an_address_of_a_machine_is_not_only_listened_on_by_itself(tmp_path: Path) -> None:
    listed = read_peers(MACHINES, 4222)
    text = NodeFiles(tmp_path, listed[0], listed, "s").log_text()
    assert 'listen: "0.0.0.0:4232"' in text and "authorization" in text
    assert 'http: "127.0.0.1:' in text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    listed = read_peers("n1,n2,n3", 4222)
    with pytest.raises(StartError, match="cannot be written"):
        NodeFiles(tmp_path / "n1", listed[0], listed, "").write()


def test_a_file_where_the_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "n1").write_text("")
    listed = read_peers("n1,n2,n3", 4222)
    with pytest.raises(StartError, match="cannot be written"):
        NodeFiles(tmp_path / "n1", listed[0], listed, "").write()


def test_settings_that_both_give(tmp_path: Path) -> None:
    listed = read_peers("n1,n2,n3", 4222)
    more = tmp_path / "more.toml"
    more.write_text("port = 1\n")
    files = NodeFiles(tmp_path / "n1", listed[0], listed, "", more)
    files.write()
    with pytest.raises(StartError, match=r"mq9\.toml"):
        load_settings(["--config", str(files.broker_config)], {})
