"""Three real nodes and nats-servers: the beginning of the log is trimmed, or the log loses its end."""

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nats
import pytest

from tests.support.counted_sends import sends_survive
from tests.support.local_cluster import BROKER, LOG, LOG_SERVER, NAMES, LocalCluster, needs_nodes
from tests.support.waiting import START_SECONDS, wait_until

pytestmark = needs_nodes
# Records, of which the clients make more in a second.
MARGIN = 20
HASTY = str(Path(__file__).parents[1] / "support/hasty")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    cluster = LocalCluster(tmp_path_factory.mktemp("cluster"), PYTHONPATH=HASTY)
    yield cluster
    cluster.end()


def a_standby(cluster: LocalCluster) -> str:
    owner = cluster.owner()
    return next(name for name in NAMES if name != owner)


def applied(cluster: LocalCluster, name: str) -> int:
    """The last record of the log that the store of a node has."""
    return next((int(each["applied"]) for each in cluster.states(name) if each["node"] == name), 0)


def on_disk(cluster: LocalCluster, name: str) -> int:
    """The record from which on the store of a node needs the log after a kill."""
    return next((int(each["durable"]) for each in cluster.states(name) if each["node"] == name), 0)


def trimmed_beyond(cluster: LocalCluster, record: int, name: str) -> bool:
    """Whether the server of this node does not have the record any more."""
    return int(cluster.stream(LOG, [name]).get("state", {}).get("first_seq", 0)) > record


def last_record(cluster: LocalCluster) -> int:
    """The number of the last record. A server that does not lead the stream may not know of it yet."""
    known = (cluster.stream(LOG, [name]).get("state", {}) for name in NAMES)
    return max(int(state.get("last_seq", 0)) for state in known)


def log_of(cluster: LocalCluster, name: str) -> str:
    return (cluster.directory / f"{name}.log").read_text()


def test_nodes_that_need_what_was_trimmed_copy_a_store_and_follow(cluster: LocalCluster) -> None:
    """One is new. The other was away, and has a store that is too old."""

    def come_back_late(cluster: LocalCluster) -> None:
        away = a_standby(cluster)
        supervisor = cluster.processes[away].pid
        # It does not start the broker again meanwhile.
        os.kill(supervisor, signal.SIGSTOP)
        try:
            cluster.signal(away, BROKER, signal.SIGKILL)
            # A server may tell its last record late, and the store needs the next one.
            needed = last_record(cluster) + MARGIN
            # Also the server of this node: from a server that was away too, the node could get old records.
            wait_until(lambda: all(trimmed_beyond(cluster, needed, name) for name in NAMES))
        finally:
            os.kill(supervisor, signal.SIGCONT)
        wait_until(lambda: "the log begins with record" in log_of(cluster, away))
        cluster.wait_until_whole()

    def begin_without_a_store(cluster: LocalCluster) -> None:
        new = a_standby(cluster)
        cluster.stop(new)
        cluster.forget_data(new)
        cluster.start(new)
        cluster.wait_until_whole()
        before = last_record(cluster)
        wait_until(lambda: applied(cluster, new) > before)
        # The others have no part in what follows.
        cluster.stop(cluster.owner())
        assert "copied a store" in log_of(cluster, new)

    def bring_back(cluster: LocalCluster) -> None:
        for name in NAMES:
            if cluster.processes[name].poll() is not None:
                cluster.start(name)

    sends_survive(cluster, "trimmed", come_back_late, begin_without_a_store, bring_back)


def test_log_that_was_restored_from_an_older_state_stops_the_nodes(cluster: LocalCluster) -> None:
    sends_survive(cluster, "before")
    older = snapshot_of_log(cluster)
    sends_survive(cluster, "after", lambda _cluster: None)
    stop_all(cluster)
    newer = {name: cluster.directory / name / "newer" for name in NAMES}
    for name in NAMES:
        directory = cluster.directory / name / "log"
        directory.rename(newer[name])
        older[name].rename(directory)
    for name in NAMES:
        cluster.start(name)
    wait_until(lambda: all_stopped(cluster, "the log ends at record"))
    # With the whole log the cluster goes on.
    bring_back_log(cluster, newer)


def bring_back_log(cluster: LocalCluster, whole: dict[str, Path]) -> None:
    """Start all nodes, which run, with these directories of their nats-servers."""
    cluster.kill_all()
    for name in NAMES:
        shutil.rmtree(cluster.directory / name / "log")
        whole[name].rename(cluster.directory / name / "log")
    start_all(cluster)


def snapshot_of_log(cluster: LocalCluster) -> dict[str, Path]:
    """A copy of what each nats-server has on disk, all of the same moment."""
    copies = {name: cluster.directory / f"{name}.older" for name in NAMES}
    servers = [cluster.signal(name, LOG_SERVER, signal.SIGSTOP) for name in NAMES]
    try:
        for name in NAMES:
            shutil.copytree(cluster.directory / name / "log", copies[name])
    finally:
        for pid in servers:
            os.kill(pid, signal.SIGCONT)
    return copies


def ask_log(cluster: LocalCluster, subject: str) -> None:
    """A request to JetStream, as an operator may make it by mistake."""

    async def ask() -> None:
        port = cluster.peers[NAMES[0]].log_port
        async with await nats.connect(f"nats://127.0.0.1:{port}") as client:
            answer = await client.request(f"$JS.API.STREAM.{subject}.MQ9_LOG", timeout=30)
            assert b'"success":true' in answer.data, answer.data

    asyncio.run(ask())


def test_log_that_was_purged_while_a_node_serves(cluster: LocalCluster) -> None:
    """Its standbys have what is gone, and everybody goes on."""
    sends_survive(cluster, "purged", lambda cluster: ask_log(cluster, "PURGE"))


def test_log_that_was_purged_stops_nodes_that_all_restart(cluster: LocalCluster) -> None:
    """None of them can be copied: it is not known if another one had more."""
    sends = sends_survive(cluster, "kept")
    # What an earlier test has purged, no store may need after a kill.
    first = int(cluster.stream(LOG)["state"]["first_seq"])
    wait_until(lambda: all(on_disk(cluster, name) >= first for name in NAMES))
    for name in NAMES:
        cluster.signal(name, BROKER, signal.SIGSTOP)
    whole = snapshot_of_log(cluster)
    ask_log(cluster, "PURGE")
    wait_until(lambda: all(trimmed_beyond(cluster, last_record(cluster), name) for name in NAMES))
    cluster.kill_all()
    for name in NAMES:
        cluster.start(name)
    wait_until(lambda: all_stopped(cluster, "the log has no records, and it had record"), START_SECONDS)
    check_serves_nobody(cluster)
    bring_back_log(cluster, whole)
    asyncio.run(sends.check())


def test_log_whose_stream_is_deleted_stops_the_nodes(cluster: LocalCluster) -> None:
    ask_log(cluster, "DELETE")
    wait_until(lambda: all_stopped(cluster, "the log has no records, and it had record"))
    for name in NAMES:
        assert "log_regressed: the log has no records" in log_of(cluster, name)
    check_serves_nobody(cluster)


def check_serves_nobody(cluster: LocalCluster) -> None:
    for name in NAMES:
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", cluster.peers[name].client_port))


def all_stopped(cluster: LocalCluster, reason: str) -> bool:
    """Whether each node says that the log has lost records, for this reason, and takes no part any more."""
    faults = [cluster.health(name) for name in NAMES]
    told = all("log_regressed" in fault and reason in fault for fault in faults)
    return told and set(cluster.roles().values()) == {"stopped"}


def stop_all(cluster: LocalCluster) -> None:
    """At the same time: a nats-server that loses the others waits for them."""
    with ThreadPoolExecutor(len(NAMES)) as pool:
        list(pool.map(cluster.stop, NAMES))


def start_all(cluster: LocalCluster) -> None:
    for name in NAMES:
        cluster.start(name)
    cluster.wait_until_whole()
