"""How a broker comes up, and why it does not."""

import asyncio
import os
import re
import resource
import select
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nats
import pytest
from rocksdict import Options, Rdict

from mq9fast.storage.broker_state import STATE_FILE
from mq9fast.storage.rocks_database import open_error
from mq9fast.version import VERSION
from tests.support.broker import Broker, run_broker, start_error
from tests.support.nats_py import connect
from tests.support.waiting import START_SECONDS, WAIT_SECONDS, wait_until, wait_until_async
from tests.support.wire_client import Wire

STDOUT_LINE = re.compile(rf"mq9fast {re.escape(VERSION)} listening on nats://127\.0\.0\.1:(\d+)\n")
CONSOLE_SCRIPT = Path(sys.executable).with_name("mq9fast")


# It starts.


@pytest.mark.parametrize(
    "command", [(sys.executable, "-m", "mq9fast"), (CONSOLE_SCRIPT,)], ids=["-m", "script"]
)
def test_one_line_on_stdout_says_where_it_serves(command: tuple[str | Path, ...], tmp_path: Path) -> None:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(
        [*command, "--port", "0", "--monitor-port", "-1", "--data-dir", tmp_path / "made" / "data"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert select.select([process.stdout], [], [], START_SECONDS)[0]
        found = STDOUT_LINE.fullmatch(process.stdout.readline())
        assert found
        with Wire(int(found[1])) as wire:
            assert wire.info["port"] == int(found[1])
            wire.ping()
    finally:
        process.terminate()
        out, err = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 0
    # About 0.4 s of a processor, to start and to stop; how long that takes is the machine's matter.
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime < 5
    assert out == ""
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "command", [(sys.executable, "-m", "mq9fast"), (CONSOLE_SCRIPT,)], ids=["-m", "script"]
)
def test_help_and_version_need_no_broker(command: tuple[str | Path, ...]) -> None:
    version = run_broker("--version", command=command)
    assert (version.returncode, version.stdout, version.stderr) == (0, f"mq9fast {VERSION}\n", "")
    told = run_broker("--help", command=command)
    assert (told.returncode, told.stderr) == (0, "")
    for flag in ("--port", "--data-dir", "--sync", "--max-payload", "--tls-cert", "--log-level"):
        assert flag in told.stdout
    assert "default: 4222" in " ".join(told.stdout.split())


def test_settings_come_from_the_file_too(start_broker: Callable[..., Broker], tmp_path: Path) -> None:
    config = tmp_path / "mq9fast.toml"
    config.write_text('server_name = "from the file"\nmax_payload = 1234\n')
    broker = start_broker("--config", str(config), env={"MQ9FAST_MAX_PAYLOAD": "4321"})
    with Wire(broker.port) as wire:
        assert (wire.info["server_name"], wire.info["max_payload"]) == ("from the file", 4321)


def test_listening_to_the_world_without_auth_is_warned_about(start_broker: Callable[..., Broker]) -> None:
    warning = "listening on 0.0.0.0 without authentication"
    open_to_all = start_broker("--host", "0.0.0.0")
    wait_until(lambda: warning in open_to_all.log.read_text())
    assert "WARNING" in open_to_all.log.read_text()
    for flags in (("--host", "0.0.0.0", "--token", "secret"), ("--host", "127.0.0.1")):
        assert start_broker(*flags).log.read_text() == ""


# It does not start.


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        sentence = start_error("--port", port, "--data-dir", tmp_path / "data")
    assert f"127.0.0.1:{port}: another process uses this port; stop it, or change port" in sentence
    # What it opened before it knew is closed again.
    Broker(tmp_path / "data").end()


def test_a_host_that_is_not_ours_is_named(tmp_path: Path) -> None:
    assert "192.0.2.1" in start_error("--host", "192.0.2.1", "--data-dir", tmp_path / "data")


def test_a_data_directory_in_use_is_named(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker()
    sentence = start_error("--data-dir", broker.data_dir)
    assert str(broker.data_dir) in sentence
    assert "in use by another broker" in sentence
    with Wire(broker.port) as wire:
        assert wire.create(name="unharmed")["is_new"]


def change_format(data_dir: Path, change: int) -> int:
    """Add to the format of a stopped broker's directory; returns what it was."""
    store = Rdict(str(data_dir), Options(raw_mode=True))
    version = int.from_bytes(store[b"v"], "big")
    store[b"v"] = (version + change).to_bytes(8, "big")
    store.close()
    return version


def test_a_newer_format_is_refused_and_left_alone(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker()
    with Wire(broker.port) as wire:
        wire.create(name="box")
    broker.stop()
    change_format(broker.data_dir, 1)
    sentence = start_error("--data-dir", broker.data_dir)
    assert str(broker.data_dir) in sentence
    assert "format 4" in sentence
    change_format(broker.data_dir, -1)
    broker.start()
    with Wire(broker.port) as wire:
        assert not wire.create(name="box")["is_new"]


@pytest.mark.parametrize("older", [1, 2])
def test_an_older_format_is_read_and_raised(start_broker: Callable[..., Broker], older: int) -> None:
    """Format 1 had each message in a row of its own, as messages that come alone still are; neither of them
    had a state file."""
    broker = start_broker()
    with Wire(broker.port) as wire:
        wire.create(name="box")
        for number in range(3):
            wire.msg("box", b"%d" % number)
    broker.stop()
    assert change_format(broker.data_dir, older - 3) == 3
    (broker.data_dir / STATE_FILE).unlink()
    broker.start()
    with Wire(broker.port) as wire:
        assert [message["payload"] for message in wire.list("box")["messages"]] == ["0", "1", "2"]
    broker.stop()
    assert change_format(broker.data_dir, 0) == 3


def test_an_unusable_data_directory_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a directory")
    assert str(file) in start_error("--data-dir", file)
    assert str(file) in start_error("--data-dir", file / "below")
    if Path("/proc").is_dir():  # where nobody can make a directory, not even root
        assert "/proc/mq9fast" in start_error("--data-dir", "/proc/mq9fast")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_directory_without_permission_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(0o500)
    said = start_error("--data-dir", closed)
    assert str(closed) in said
    assert "Permission denied" in said


def test_a_lock_that_cannot_be_opened_is_not_taken_for_another_broker(tmp_path: Path) -> None:
    (tmp_path / "LOCK").mkdir()
    said = start_error("--data-dir", tmp_path)
    assert str(tmp_path) in said
    assert "another broker" not in said


def test_the_systems_reason_is_told_where_the_store_has_no_other() -> None:
    error = PermissionError("Permission denied (os error 13)")
    assert "Permission denied" in open_error(Path("data"), error)


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    database = Rdict(str(tmp_path / "other"), Options(raw_mode=True))
    database[b"theirs"] = b"1"
    database.close()
    assert "holds a RocksDB database that is not mq9fast's" in start_error("--data-dir", tmp_path / "other")
    database = Rdict(str(tmp_path / "other"), Options(raw_mode=True))
    assert list(database.keys()) == [b"theirs"]
    database.close()


def test_a_data_directory_of_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "CURRENT").write_text("this is no store")
    assert str(tmp_path) in start_error("--data-dir", tmp_path)


def test_an_unreadable_config_is_named(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    data = ("--data-dir", tmp_path / "data")
    assert str(config) in start_error("--config", config, *data)
    for text, culprit in (
        ("port = ", str(config)),
        ("colour = 'blue'\n", "colour"),
        ("port = 'blue'\n", "port"),
        ("sync = 'sometimes'\n", "sync"),
    ):
        config.write_text(text)
        assert culprit in start_error("--config", config, *data)
    config.write_bytes(b"\xff\xfe")
    assert str(config) in start_error("--config", config, *data)
    assert str(tmp_path) in start_error("--config", tmp_path, *data)
    assert not (tmp_path / "data").exists()


def test_wrong_flags_and_variables_are_named(tmp_path: Path) -> None:
    data = ("--data-dir", tmp_path / "data")
    assert "--colour" in start_error("--colour", "blue", *data)
    assert "--port" in start_error("--port", "99999", *data)
    assert "MQ9FAST_SYNC" in start_error(*data, MQ9FAST_SYNC="sometimes")
    assert "hunter2" not in start_error("--token", "hunter2\n", *data)


def test_tls_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    assert str(missing) in start_error(
        "--tls-cert", missing, "--tls-key", missing, "--data-dir", tmp_path / "data"
    )
    (tmp_path / "empty.pem").touch()
    empty = tmp_path / "empty.pem"
    assert str(empty) in start_error("--tls-cert", empty, "--tls-key", empty, "--data-dir", tmp_path / "data")


def test_an_encrypted_key_is_refused_not_asked_about(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-passout", "pass:secret", "-subj", "/CN=x"]
    subprocess.run([*command, "-keyout", key, "-out", cert], check=True, capture_output=True)
    said = start_error("--tls-cert", cert, "--tls-key", key, "--data-dir", tmp_path / "data")
    assert str(key) in said
    assert "pass phrase" not in said


# It starts again.


def test_a_client_that_keeps_trying_is_served_by_the_next_one_at_once(
    start_broker: Callable[..., Broker],
) -> None:
    """SIGKILL leaves nothing behind that the next one on the same port and directory has to wait for."""
    broker = start_broker()
    broker.flags = ("--port", str(broker.port), *broker.flags[2:])

    async def run() -> None:
        async def ignore(_: Exception) -> None: ...

        client = await connect(
            broker.url,
            error_cb=ignore,
            reconnect_time_wait=0.05,
            max_reconnect_attempts=-1,
        )
        box = await client.subscribe("$mq9.AI.MAILBOX.MSG.box")
        await client.request("$mq9.AI.MAILBOX.CREATE", b'{"name":"box"}')
        for number in range(5):
            assert children(broker.process.pid) == ""
            await asyncio.to_thread(broker.restart, kill=True)
            payload = b"%d" % number

            async def is_sent(payload: bytes = payload) -> bool:
                try:
                    answer = await client.request("$mq9.AI.MAILBOX.MSG.box", payload, timeout=2)
                except (nats.errors.Error, asyncio.TimeoutError):
                    return False
                return b"msg_id" in answer.data

            await wait_until_async(is_sent)
        seen = set()
        while len(seen) < 5:
            seen.add((await box.next_msg(WAIT_SECONDS)).data)
        assert seen == {b"0", b"1", b"2", b"3", b"4"}
        await client.close()

    asyncio.run(run())


def children(pid: int) -> str:
    """The processes that a process has started, where the system tells."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return path.read_text() if path.exists() else ""
