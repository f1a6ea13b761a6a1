"""File descriptors run out: the broker continues, and accepts connections again once there are some."""

import os
import re
import resource
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from rocksdict import BottommostLevelCompaction, CompactOptions, Options, Rdict

from tests.support.broker import Broker
from tests.support.certificates import Certificates
from tests.support.data_directory import move_values_to_tables
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import Wire

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
REFUSED = b"-ERR 'maximum connections exceeded'\r\n"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def start_limited(stack: ExitStack, path: Path, descriptors: int, *flags: str) -> Broker:
    broker = Broker(path / "data", *flags, descriptors=descriptors)
    stack.callback(broker.end)
    return broker


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS)


def serves(port: int) -> bool:
    try:
        with Wire(port) as wire:
            wire.ping()
    except (OSError, EOFError, AssertionError):
        return False
    return True


def test_connection_without_a_descriptor_is_refused_with_an_error(tmp_path: Path, stack: ExitStack) -> None:
    broker = start_limited(stack, tmp_path, 400, "--max-connections", "1000")
    warning = "WARNING mq9fast.server: max_connections is 1000, but the limit of open files allows only 200:"
    assert warning in broker.log.read_text()
    wires = [stack.enter_context(Wire(broker.port)) for _ in range(200)]
    for wire in wires:
        wire.ping()
    for _ in range(50):
        with Wire(broker.port, None) as refused:
            assert refused.closed()
            assert refused.unread == REFUSED
    # The store still has the descriptors that it needs.
    assert wires[0].create(name="box")["is_new"]
    assert wires[0].msg("box", "hello") == {"msg_id": 0}
    for wire in wires[100:]:
        wire.close()
    wait_until(lambda: serves(broker.port))


def test_unfinished_websocket_upgrades_leave_descriptors_for_others(tmp_path: Path, stack: ExitStack) -> None:
    broker = start_limited(stack, tmp_path, 600, "--ws-port", "0", "--auth-timeout", "600")
    wire = stack.enter_context(Wire(broker.port))
    wire.ping()
    for _ in range(500):
        last = stack.enter_context(connect(broker.ws_port))
    with suppress(ConnectionResetError):
        assert last.recv(1) == b""
    with Wire(broker.port, None) as refused:
        assert refused.closed()
        assert refused.unread == REFUSED
    assert wire.create(name="box")["is_new"]
    assert wire.msg("box", "hello") == {"msg_id": 0}
    assert broker.open_descriptors < 500


def test_soft_limit_is_raised_without_a_warning(tmp_path: Path, stack: ExitStack) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
    try:
        broker = start_limited(stack, tmp_path, 0, "--max-connections", "500")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "descriptors" not in broker.log.read_text()
    wires = [stack.enter_context(Wire(broker.port)) for _ in range(500)]
    for wire in wires:
        wire.ping()
    with Wire(broker.port, None) as refused:
        assert refused.closed()
        assert refused.unread == REFUSED


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_broker_without_descriptors_neither_exits_nor_spins(
    tmp_path: Path, stack: ExitStack, tls: bool
) -> None:
    """The limit falls while the broker runs, so that its reserve does not help."""
    files = Certificates(tmp_path)
    flags = (
        "--tls-cert",
        files.cert_path("server"),
        "--tls-key",
        files.key_path("server"),
        "--auth-timeout",
        "600",
    )
    broker = start_limited(stack, tmp_path, 0, *(flags if tls else ()))

    inside = [stack.enter_context(connect(broker.port)) for _ in range(10)]
    for client in inside:
        assert client.recv(65536).startswith(b"INFO ")
    limits = resource.prlimit(broker.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(broker.process.pid, resource.RLIMIT_NOFILE, (broker.open_descriptors, limits[1]))
    outside = [stack.enter_context(connect(broker.port)) for _ in range(20)]
    before = broker.cpu_seconds
    # A broker that retries a failing accept without a pause uses all of this second.
    time.sleep(1.0)
    assert broker.cpu_seconds - before < 0.3
    assert broker.process.poll() is None
    for client in (*outside, *inside[5:]):
        client.close()

    def greets() -> bool:
        with connect(broker.port) as client:
            try:
                return client.recv(65536).startswith(b"INFO ")
            except OSError:
                return False

    wait_until(greets)
    if not tls:
        inside[0].sendall(b"PING\r\n")
        assert inside[0].recv(6) == b"PONG\r\n"
    assert broker.stop() == 0


def test_store_with_many_tables_leaves_descriptors_for_connections(tmp_path: Path, stack: ExitStack) -> None:
    limit, messages = 400, 800
    broker = start_limited(stack, tmp_path, limit, "--max-connections", "1000")
    with Wire(broker.port) as wire:
        wire.create(name="box")
        for number in range(messages):
            assert wire.msg("box", os.urandom(10_000)) == {"msg_id": number}
    assert broker.stop() == 0
    move_values_to_tables(tmp_path / "data")
    # Make more tables than the broker may open files.
    options = Options(raw_mode=True)
    options.set_target_file_size_base(10_000)
    tables = Rdict(str(tmp_path / "data"), options, {"default": options})
    rewriting = CompactOptions()
    rewriting.set_bottommost_level_compaction(BottommostLevelCompaction.force())
    tables.compact_range(None, None, rewriting)
    tables.close()
    assert len(list((tmp_path / "data").glob("*.sst"))) > limit - 50

    broker.start()
    wires = [stack.enter_context(Wire(broker.port)) for _ in range(200)]
    for wire in wires:
        wire.ping()
    listed = wires[0].list("box", limit=messages)
    assert listed["total"] == messages
    wires[1].subscribe("box")
    assert [wires[1].message().msg_id for _ in range(messages)] == list(range(messages))
    assert broker.open_descriptors < limit - 30
    for number in range(20):
        assert wires[2].msg("box", b"x") == {"msg_id": messages + number}


def test_rocksdb_open_files_and_info_log_are_bounded(tmp_path: Path, stack: ExitStack) -> None:
    broker = start_limited(stack, tmp_path, 400, "--max-connections", "1000")
    broker.restart()
    log = (tmp_path / "data" / "LOG").read_text()
    assert re.search(r"Options\.max_open_files: 72$", log, re.MULTILINE)
    assert re.search(r"Options\.max_log_file_size: 1048576$", log, re.MULTILINE)
    assert re.search(r"Options\.keep_log_file_num: 4$", log, re.MULTILINE)
    # An option of tables that RocksDB does not restore from the OPTIONS file.
    assert "CompactOnDeletionCollector" in log
