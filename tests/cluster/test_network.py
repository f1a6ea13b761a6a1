"""The network that other tests cut: it must really be cut, and leave nothing behind."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.network import Network, NetworkError
from tests.support.waiting import wait_until

PORT = 5000
OWN = Path("/proc/thread-self/ns/net")
# Longer than a packet takes, and not so long that each lost one hurts.
LOST_SECONDS = 0.3


@pytest.fixture
def network() -> Iterator[Network]:
    try:
        network = Network(["a", "b"])
    except (NetworkError, OSError) as error:
        pytest.skip(f"no network can be cut here: {error}")
    yield network
    network.close()


def arrives(network: Network, sender: str, receiver: str) -> bool:
    """Whether one of a few packets gets from one member to another."""
    with network.inside(receiver):
        at = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with network.inside(sender):
        source = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with at, source:
        at.bind((network.address(receiver), PORT))
        at.settimeout(LOST_SECONDS)
        for _ in range(3):
            source.sendto(b"x", (network.address(receiver), PORT))
            try:
                return at.recv(1) == b"x"
            except TimeoutError:
                continue
    return False


def test_cut_in_one_direction(network: Network) -> None:
    assert arrives(network, "a", "b") and arrives(network, "b", "a")
    network.cut("a", "b")
    assert not arrives(network, "a", "b") and arrives(network, "b", "a")
    network.heal()
    assert arrives(network, "a", "b")


def test_cut_in_both_directions(network: Network) -> None:
    network.cut_both("a", ["b"])
    assert not arrives(network, "a", "b") and not arrives(network, "b", "a")


def test_lossy_link(network: Network) -> None:
    network.lose("b", 1.0)
    assert not arrives(network, "a", "b") and arrives(network, "b", "a")


def test_slow_link_ends_with_heal(network: Network) -> None:
    network.slow_down("a", 1_000_000, 0.3)
    assert "tbf" in network.run("a", "tc", "qdisc", "show", "dev", "eth0")
    network.heal()
    assert "tbf" not in network.run("a", "tc", "qdisc", "show", "dev", "eth0")


def test_this_thread_stays_where_it_was(network: Network) -> None:
    before = OWN.readlink()
    with pytest.raises(ZeroDivisionError), network.inside("a"):
        assert OWN.readlink() != before
        _ = 1 / 0
    assert OWN.readlink() == before
    assert network.address("a") not in Path("/proc/net/fib_trie").read_text()


def test_killed_test_leaves_nothing(network: Network) -> None:
    script = "import sys, time\nfrom tests.support.network import Network\nnetwork = Network(['a'])\n"
    script += "print(*[each.pid for each in network._holders.values()], flush=True)\ntime.sleep(600)\n"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        holders = [int(pid) for pid in process.stdout.readline().split()]
        assert len(holders) == 2 and all(map(runs, holders))
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: not any(map(runs, holders)))


def runs(pid: int) -> bool:
    """Whether a process is there, and is not only waited for."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
