"""Three nodes. The RocksDB of one of them fails: another node is the owner, and nobody restarts anything."""

import errno
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.counted_sends import sends_survive
from tests.support.data_directory import flip_byte
from tests.support.faults.shim import Shim
from tests.support.local_cluster import BROKER, NAMES, LocalCluster, needs_nodes
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire

pytestmark = needs_nodes
# Tables are compressed.
BODY = random.Random(16).randbytes(900_000)
# More than a memtable, and as much as an idle owner flushes.
MANY, SOME = 40, 6


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Shim:
    return Shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, shim: Shim) -> Iterator[LocalCluster]:
    cluster = LocalCluster(tmp_path_factory.mktemp("cluster"), **shim.env)
    yield cluster
    cluster.end()


def fill(cluster: LocalCluster, owner: str, address: str, bodies: int = MANY) -> None:
    """Store so much that the owner, or with MANY each node, writes a table."""
    with Wire(cluster.peers[owner].client_port) as wire:
        wire.create(name=address)
        for _ in range(bodies):
            wire.pub(f"{MAILBOX}MSG.{address}", BODY)


def another_owner(cluster: LocalCluster, former: str) -> None:
    wait_until(lambda: cluster.owner() != former)


def faults_told(cluster: LocalCluster, name: str) -> str:
    """What `mq9fast cluster status` says about the faults of a node."""
    return next((str(row["faults"]) for row in cluster.rows() if row["node"] == name), "")


def test_owner_that_cannot_write(cluster: LocalCluster, shim: Shim) -> None:
    def fail(cluster: LocalCluster) -> None:
        owner = cluster.owner()
        with shim.failing("write", f"*/{owner}/data/*.sst", errno.EIO):
            fill(cluster, owner, "owner.fills")
            another_owner(cluster, owner)
            wait_until(lambda: "Input/output error" in cluster.health(owner))
            wait_until(lambda: "Input/output error" in faults_told(cluster, owner))
            assert cluster.roles()[owner] == "failed"
        cluster.wait_until_whole()
        wait_until(lambda: cluster.health(owner) == "")

    sends_survive(cluster, "cannot.write", fail)


def test_standby_that_cannot_write_does_not_become_the_owner(cluster: LocalCluster, shim: Shim) -> None:
    def fail(cluster: LocalCluster) -> None:
        owner = cluster.owner()
        standby, third = (name for name in NAMES if name != owner)
        with shim.failing("write", f"*/{standby}/data/*.sst", errno.EIO):
            fill(cluster, owner, "standby.fills")
            wait_until(lambda: "Input/output error" in cluster.health(standby))
            cluster.signal(owner, BROKER, signal.SIGKILL)
            another_owner(cluster, owner)
            assert cluster.owner() == third
        cluster.wait_until_whole()

    sends_survive(cluster, "standby.cannot.write", fail)


def test_owner_that_cannot_read(cluster: LocalCluster, shim: Shim) -> None:
    def fail(cluster: LocalCluster) -> None:
        owner = cluster.owner()
        fill(cluster, owner, "owner.reads", MANY)
        tables(cluster, owner)
        with shim.failing("pread", f"*/{owner}/data/*.sst", errno.EIO):
            with Wire(cluster.peers[owner].client_port) as wire:
                wire.pub(f"{MAILBOX}LIST.owner.reads", reply="r")
                another_owner(cluster, owner)
            wait_until(lambda: "Input/output error" in cluster.health(owner))
            assert cluster.roles()[owner] == "failed"
        cluster.wait_until_whole()
        wait_until(lambda: cluster.health(owner) == "")

    sends_survive(cluster, "cannot.read", fail)


def test_standby_that_cannot_read_does_not_stay_the_owner(cluster: LocalCluster, shim: Shim) -> None:
    def fail(cluster: LocalCluster) -> None:
        owner = cluster.owner()
        standby, third = (name for name in NAMES if name != owner)
        fill(cluster, owner, "standby.reads", MANY)
        tables(cluster, standby)
        with shim.failing("pread", f"*/{standby}/data/*.sst", errno.EIO):
            # Nobody else can take over.
            pid = cluster.signal(third, BROKER, signal.SIGSTOP)
            try:
                cluster.signal(owner, BROKER, signal.SIGKILL)
                wait_until(lambda: "Input/output error" in cluster.health(standby))
            finally:
                os.kill(pid, signal.SIGCONT)
            another_owner(cluster, standby)
        cluster.wait_until_whole()
        wait_until(lambda: cluster.health(standby) == "")

    sends_survive(cluster, "standby.cannot.read", fail)


def tables(cluster: LocalCluster, name: str) -> list[Path]:
    """The tables of a node that have most of what `fill` has stored. Waits until they are written."""
    found: list[tuple[Path, int]] = []

    def are_written() -> bool:
        before = list(found)
        sizes = [(path, path.stat().st_size) for path in cluster.data_dir(name).glob("*.sst")]
        found[:] = [(path, size) for path, size in sizes if size > len(BODY)]
        return bool(found) and found == before

    wait_until(are_written)
    return [path for path, _ in found]


def test_damaged_table_of_the_owner_is_replaced_by_a_copy(cluster: LocalCluster) -> None:
    owner = cluster.owner()
    fill(cluster, owner, "damaged", SOME)
    for table in tables(cluster, owner):
        for place in range(0, table.stat().st_size, len(BODY) // 2):
            flip_byte(table, place)
    with Wire(cluster.peers[owner].client_port) as wire:
        wire.pub(f"{MAILBOX}LIST.damaged", reply="r")
        another_owner(cluster, owner)
    cluster.wait_until_whole()
    wait_until(lambda: cluster.health(owner) == "")
    assert "the store is damaged; it is thrown away" in (cluster.directory / f"{owner}.log").read_text()
    with Wire(cluster.peers[cluster.owner()].client_port) as wire:
        wire.subscribe("damaged")
        assert [len(each.payload) for each in wire.messages(SOME)] == [len(BODY)] * SOME
