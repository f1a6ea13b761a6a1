"""Starting a broker, and the errors of starts that fail."""

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

from mq9fast._core.storage.record import FORMAT_VERSION
from mq9fast.storage.broker_state import STATE_FILE
from mq9fast.storage.rocks_database import describe_open_error
from mq9fast.version import VERSION
from tests.support.broker import Broker, run_broker, start_error
from tests.support.nats_py import connect
from tests.support.waiting import START_SECONDS, WAIT_SECONDS, wait_until, wait_until_async
from tests.support.wire_client import Wire

# Runs a broker in the main thread. When it serves and collects garbage, it prints whether what the start made
# is left alone, and ends the broker.
WATCH_COLLECTOR = """
import gc, os, signal, sys, threading, time
from mq9fast.__main__ import main

def watch():
    os.read(line, 100)
    while not gc.isenabled():
        time.sleep(0.01)
    print(gc.get_freeze_count() > 1000, file=sys.stderr)
    os.kill(os.getpid(), signal.SIGTERM)

line, output = os.pipe()
os.dup2(output, 1)
threading.Thread(target=watch, daemon=True).start()
sys.exit(main(sys.argv[1:]))
"""
STDOUT_LINE = re.compile(rf"mq9fast {re.escape(VERSION)} listening on nats://127\.0\.0\.1:(\d+)\n")
CONSOLE_SCRIPT = Path(sys.executable).with_name("mq9fast")


# Starts that succeed.


@pytest.mark.parametrize(
    "command", [(sys.executable, "-m", "mq9fast"), (CONSOLE_SCRIPT,)], ids=["-m", "script"]
)
def test_ready_line_on_stdout_has_the_address(command: tuple[str | Path, ...], tmp_path: Path) -> None:
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
    # Starting and stopping take about 0.4 s of processor time, whatever the elapsed time.
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime < 5
    assert out == ""
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "command", [(sys.executable, "-m", "mq9fast"), (CONSOLE_SCRIPT,)], ids=["-m", "script"]
)
def test_help_and_version_exit_without_starting_a_broker(command: tuple[str | Path, ...]) -> None:
    version = run_broker("--version", command=command)
    assert (version.returncode, version.stdout, version.stderr) == (0, f"mq9fast {VERSION}\n", "")
    shown = run_broker("--help", command=command)
    assert (shown.returncode, shown.stderr) == (0, "")
    for flag in ("--port", "--data-dir", "--sync", "--max-payload", "--tls-cert", "--log-level"):
        assert flag in shown.stdout
    assert "default: 4222" in " ".join(shown.stdout.split())


def test_settings_come_from_the_configuration_file(
    start_broker: Callable[..., Broker], tmp_path: Path
) -> None:
    config = tmp_path / "mq9fast.toml"
    config.write_text('server_name = "from the file"\nmax_payload = 1234\n')
    broker = start_broker("--config", str(config), env={"MQ9FAST_MAX_PAYLOAD": "4321"})
    with Wire(broker.port) as wire:
        assert (wire.info["server_name"], wire.info["max_payload"]) == ("from the file", 4321)


def test_garbage_is_collected_after_a_start(tmp_path: Path) -> None:
    flags = ("--port", "0", "--monitor-port", "-1", "--data-dir", str(tmp_path / "data"))
    command = [sys.executable, "-c", WATCH_COLLECTOR, *flags]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=START_SECONDS)
    assert (ended.returncode, ended.stderr) == (0, "True\n")


def test_listening_on_all_addresses_without_auth_logs_a_warning(start_broker: Callable[..., Broker]) -> None:
    warning = "listening on 0.0.0.0 without authentication"
    open_to_all = start_broker("--host", "0.0.0.0")
    wait_until(lambda: warning in open_to_all.log.read_text())
    assert "WARNING" in open_to_all.log.read_text()
    for flags in (("--host", "0.0.0.0", "--token", "secret"), ("--host", "127.0.0.1")):
        assert start_broker(*flags).log.read_text() == ""


# Starts that fail.


def test_port_in_use_is_an_error(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        sentence = start_error("--port", port, "--data-dir", tmp_path / "data")
    assert f"127.0.0.1:{port}: another process uses this port; stop it, or change port" in sentence
    # The broker closed what it had opened before the error.
    Broker(tmp_path / "data").end()


def test_host_of_another_machine_is_an_error(tmp_path: Path) -> None:
    assert "192.0.2.1" in start_error("--host", "192.0.2.1", "--data-dir", tmp_path / "data")


def test_data_directory_in_use_is_an_error(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker()
    sentence = start_error("--data-dir", broker.data_dir)
    assert str(broker.data_dir) in sentence
    assert "in use by another broker" in sentence
    with Wire(broker.port) as wire:
        assert wire.create(name="unharmed")["is_new"]


def change_format(data_dir: Path, change: int) -> int:
    """Add `change` to the format version of a stopped broker's directory. Returns the version before."""
    store = Rdict(str(data_dir), Options(raw_mode=True))
    version = int.from_bytes(store[b"v"], "big")
    store[b"v"] = (version + change).to_bytes(8, "big")
    store.close()
    return version


def test_newer_format_is_refused_and_unchanged(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker()
    with Wire(broker.port) as wire:
        wire.create(name="box")
    broker.stop()
    change_format(broker.data_dir, 1)
    sentence = start_error("--data-dir", broker.data_dir)
    assert str(broker.data_dir) in sentence
    assert f"format {FORMAT_VERSION + 1}" in sentence
    change_format(broker.data_dir, -1)
    broker.start()
    with Wire(broker.port) as wire:
        assert not wire.create(name="box")["is_new"]


@pytest.mark.parametrize("older", [1, 2, 3])
def test_older_format_is_read_and_upgraded(start_broker: Callable[..., Broker], older: int) -> None:
    """Format 1 stored each message in its own row, as later formats store messages that arrive alone. Formats
    1 and 2 had no state file."""
    broker = start_broker()
    with Wire(broker.port) as wire:
        wire.create(name="box")
        for number in range(3):
            wire.msg("box", b"%d" % number)
    broker.stop()
    assert change_format(broker.data_dir, older - FORMAT_VERSION) == FORMAT_VERSION
    if older < 3:
        (broker.data_dir / STATE_FILE).unlink()
    broker.start()
    with Wire(broker.port) as wire:
        assert [message["payload"] for message in wire.list("box")["messages"]] == ["0", "1", "2"]
    broker.stop()
    assert change_format(broker.data_dir, 0) == FORMAT_VERSION


def test_unusable_data_directory_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a directory")
    assert str(file) in start_error("--data-dir", file)
    assert str(file) in start_error("--data-dir", file / "below")
    if Path("/proc").is_dir():  # not even root can create a directory there
        assert "/proc/mq9fast" in start_error("--data-dir", "/proc/mq9fast")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_data_directory_without_permission_is_an_error(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(0o500)
    sentence = start_error("--data-dir", closed)
    assert str(closed) in sentence
    assert "Permission denied" in sentence


def test_lock_file_that_cannot_be_opened_does_not_mean_another_broker(tmp_path: Path) -> None:
    (tmp_path / "LOCK").mkdir()
    sentence = start_error("--data-dir", tmp_path)
    assert str(tmp_path) in sentence
    assert "another broker" not in sentence


def test_open_error_has_the_reason_of_the_system() -> None:
    error = PermissionError("Permission denied (os error 13)")
    assert "Permission denied" in describe_open_error(Path("data"), error)


def test_other_rocksdb_database_is_refused_and_unchanged(tmp_path: Path) -> None:
    database = Rdict(str(tmp_path / "other"), Options(raw_mode=True))
    database[b"other"] = b"1"
    database.close()
    assert "holds a RocksDB database that is not mq9fast's" in start_error("--data-dir", tmp_path / "other")
    database = Rdict(str(tmp_path / "other"), Options(raw_mode=True))
    assert list(database.keys()) == [b"other"]
    database.close()


def test_directory_of_another_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "CURRENT").write_text("this is no store")
    assert str(tmp_path) in start_error("--data-dir", tmp_path)


def test_unreadable_configuration_file_is_an_error(tmp_path: Path) -> None:
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


def test_wrong_flag_or_variable_is_an_error(tmp_path: Path) -> None:
    data = ("--data-dir", tmp_path / "data")
    assert "--colour" in start_error("--colour", "blue", *data, status=2)
    assert "--port" in start_error("--port", "99999", *data)
    assert "MQ9FAST_SYNC" in start_error(*data, MQ9FAST_SYNC="sometimes")
    assert "hunter2" not in start_error("--token", "hunter2\n", *data)


def test_unusable_tls_file_is_an_error(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    assert str(missing) in start_error(
        "--tls-cert", missing, "--tls-key", missing, "--data-dir", tmp_path / "data"
    )
    (tmp_path / "empty.pem").touch()
    empty = tmp_path / "empty.pem"
    assert str(empty) in start_error("--tls-cert", empty, "--tls-key", empty, "--data-dir", tmp_path / "data")


def test_encrypted_key_is_refused_without_a_prompt(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-passout", "pass:secret", "-subj", "/CN=x"]
    subprocess.run([*command, "-keyout", key, "-out", cert], check=True, capture_output=True)
    sentence = start_error("--tls-cert", cert, "--tls-key", key, "--data-dir", tmp_path / "data")
    assert str(key) in sentence
    assert "pass phrase" not in sentence


# Restarts.


def test_reconnecting_client_is_served_right_after_a_kill_and_restart(
    start_broker: Callable[..., Broker],
) -> None:
    """After SIGKILL, a new broker on the same port and directory starts without waiting."""
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
    """The child processes of a process, if the system shows them; else an empty string."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return path.read_text() if path.exists() else ""
