"""The broker runs on if standard error or standard output cannot be written."""

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.waiting import START_SECONDS, WAIT_SECONDS, wait_until
from tests.support.wire_client import Wire

PIPE_BYTES = 65536
# Minimum length of the line about a failed TLS handshake.
LINE_BYTES = 120
READY = re.compile(r"listening on nats://127\.0\.0\.1:(\d+)")


@contextlib.contextmanager
def run_broker(data_dir: Path, *flags: str, stdout: int, stderr: int) -> Iterator[subprocess.Popen[bytes]]:
    arguments = ("--port", "0", "--monitor-port", "-1", "--data-dir", str(data_dir), *flags)
    process = subprocess.Popen([sys.executable, "-m", "mq9fast", *arguments], stdout=stdout, stderr=stderr)
    try:
        yield process
    finally:
        process.kill()
        process.wait(WAIT_SECONDS)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def port_of(process: subprocess.Popen[bytes]) -> int:
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], START_SECONDS)[0]
    found = READY.search(process.stdout.readline().decode())
    assert found
    return int(found[1])


def refuse_upgrades(port: int, count: int) -> None:
    """Send `count` invalid upgrade requests; the broker logs a line for each."""
    for _ in range(count):
        with socket.create_connection(("127.0.0.1", port), WAIT_SECONDS) as peer:
            peer.sendall(b"GET /%b HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\n\r\n" % (b"x" * 1000))
            while peer.recv(65536):
                pass


def test_full_pipe_of_the_log_blocks_no_client(tmp_path: Path) -> None:
    files = Certificates(tmp_path)
    tls = ("--tls-cert", files.cert_path("server"), "--tls-key", files.key_path("server"))
    with run_broker(tmp_path / "data", *tls, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        port = port_of(process)
        assert process.stderr is not None
        logged = 0
        while logged < 2 * PIPE_BYTES:
            with socket.create_connection(("127.0.0.1", port), WAIT_SECONDS) as peer:
                assert peer.recv(65536).startswith(b"INFO ")
                peer.sendall(b"this is not TLS\r\n")
                with contextlib.suppress(ConnectionResetError):
                    while peer.recv(65536):
                        pass
            logged += LINE_BYTES
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_SECONDS) == 0
        text = process.stderr.read().decode()
    # The data left in the pipe; its pages are not all full.
    assert len(text) > PIPE_BYTES // 2 and "the TLS handshake of" in text


def test_lines_for_a_closed_pipe_are_counted_as_dropped(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    flags = ("--ws-port", "0", "--monitor-port", "0")
    with run_broker(tmp_path / "data", *flags, stdout=subprocess.PIPE, stderr=writing) as process:
        os.close(writing)
        port_of(process)
        head = os.read(reading, PIPE_BYTES).decode()
        (url,) = re.findall(r"monitoring on (http://\S+)", head)
        (ws_port,) = re.findall(r"WebSocket clients on \S+:(\d+)", head)
        os.close(reading)
        # The reader has closed the pipe: every line is lost, and the broker continues.
        refuse_upgrades(int(ws_port), 50)

        def dropped() -> int:
            with urllib.request.urlopen(f"{url}/metrics", timeout=WAIT_SECONDS) as answer:
                found = re.search(
                    r"^mq9fast_log_lines_dropped_total (\S+)$", answer.read().decode(), re.MULTILINE
                )
            assert found
            return int(float(found[1]))

        wait_until(lambda: dropped() >= 50)
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_SECONDS) == 0


@pytest.mark.parametrize("kind", ["closed", "full", "broken"])
def test_broker_starts_without_standard_output(tmp_path: Path, kind: str) -> None:
    log = tmp_path / "log"
    reading, writing = os.pipe()
    os.close(reading)
    redirected = {"closed": ">&-", "full": ">/dev/full", "broken": ""}[kind]
    command = f"exec {sys.executable} -m mq9fast --port 0 --monitor-port -1 --data-dir data {redirected}"
    with log.open("wb") as stderr:
        process = subprocess.Popen(["sh", "-c", command], cwd=tmp_path, stdout=writing, stderr=stderr)
    os.close(writing)
    try:
        wait_until(lambda: "standard output could not be written" in log.read_text(), START_SECONDS)
        found = READY.search(log.read_text())
        assert found
        with Wire(int(found[1])) as wire:
            assert wire.create(name="box")["is_new"]
            assert wire.msg("box", "hello") == {"msg_id": 0}
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_SECONDS) == 0
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("redirected", ["2>&-", "2>/dev/full"], ids=["closed", "full"])
def test_broker_runs_without_standard_error(tmp_path: Path, redirected: str) -> None:
    command = f"exec {sys.executable} -m mq9fast --port 0 --monitor-port -1 --host 0.0.0.0 --data-dir data"
    process = subprocess.Popen(["sh", "-c", f"{command} {redirected}"], cwd=tmp_path, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        with process.stdout as stdout:
            assert select.select([stdout], [], [], START_SECONDS)[0]
            found = re.search(r":(\d+)$", stdout.readline().decode())
        assert found
        with Wire(int(found[1])) as wire:
            assert wire.create(name="box")["is_new"]
            assert wire.msg("box", "hello") == {"msg_id": 0}
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_SECONDS) == 0
    # No log line was written to a file of the store.
    assert not any(b"without authentication" in each.read_bytes() for each in (tmp_path / "data").iterdir())
