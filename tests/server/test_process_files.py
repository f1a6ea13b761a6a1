"""The log file, JSON lines, the files about the process, --signal and -t."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.broker import Broker, run_broker, start_error
from tests.support.certificates import Certificates
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import Wire

Start = Callable[..., Broker]


def signal_to(text: str) -> subprocess.CompletedProcess[str]:
    return run_broker("--signal", text)


def test_log_file_is_reopened(start_broker: Start, tmp_path: Path) -> None:
    log, old = tmp_path / "broker.log", tmp_path / "broker.log.1"
    broker = start_broker("--log-file", str(log), "--monitor-port", "0")
    assert "monitoring on http://" in log.read_text()
    log.rename(old)
    broker.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "settings reloaded" in old.read_text())
    assert not log.exists()
    broker.process.send_signal(signal.SIGUSR1)
    wait_until(log.exists)
    wait_until(lambda: "the log file was reopened" in log.read_text())
    before = old.read_text()
    broker.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "settings reloaded" in log.read_text())
    assert old.read_text() == before
    assert stat.S_IMODE(log.stat().st_mode) & 0o137 == 0
    # Nothing but sentences of a start that fails goes to standard error.
    assert broker.log.read_text() == ""
    # A file that cannot be opened: the log goes on in the old one.
    log.rename(old)
    log.mkdir()
    broker.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: f"log_file: the file {str(log)!r} cannot be opened" in old.read_text())
    assert broker.stop() == 0


def test_log_of_json_lines(start_broker: Start) -> None:
    broker = start_broker("--log-format", "json", "--monitor-port", "0")
    broker.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "settings reloaded" in broker.log.read_text())
    lines = [json.loads(line) for line in broker.log.read_text().splitlines()]
    assert all(line.keys() == {"time", "level", "logger", "message"} for line in lines)
    assert (lines[-1]["level"], lines[-1]["message"]) == ("INFO", "settings reloaded")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", lines[-1]["time"])


def test_files_about_the_process(start_broker: Start, tmp_path: Path) -> None:
    pid_file, ports = tmp_path / "mq9.pid", tmp_path / "ports"
    ports.mkdir()
    flags = (
        "--pid-file",
        str(pid_file),
        "--ports-file-dir",
        str(ports),
        "--monitor-port",
        "0",
        "--ws-port",
        "0",
    )
    broker = start_broker(*flags)
    pid = broker.process.pid
    wait_until(pid_file.exists)
    assert pid_file.read_text() == str(pid)
    ports_file = ports / f"mq9fast_{pid}.ports"
    wait_until(ports_file.exists)
    assert json.loads(ports_file.read_text()) == {
        "nats": [broker.url],
        "monitoring": [broker.monitor_url],
        "websocket": [f"ws://127.0.0.1:{broker.ws_port}"],
    }
    assert broker.stop() == 0
    assert list(ports.iterdir()) == []
    assert not pid_file.exists()


@pytest.mark.parametrize("setting", ["pid-file", "log-file", "ports-file-dir"])
def test_file_that_cannot_be_written(tmp_path: Path, setting: str) -> None:
    text = start_error(
        f"--{setting}", tmp_path / "none" / "file", "--data-dir", tmp_path / "data", "--port", "0"
    )
    assert setting.replace("-", "_") in text and "No such file or directory" in text


def test_signals(start_broker: Start, tmp_path: Path) -> None:
    pid_file = tmp_path / "mq9.pid"
    broker = start_broker("--pid-file", str(pid_file), "--lame-duck-duration", "0")
    wait_until(pid_file.exists)
    assert signal_to(f"reload={pid_file}").returncode == 0
    wait_until(lambda: "settings reloaded" in broker.log.read_text())
    assert signal_to(f"reopen={broker.process.pid}").returncode == 0
    with Wire(broker.port) as wire:
        wire.ping()
    assert signal_to(f"ldm={broker.process.pid}").returncode == 0
    assert broker.process.wait(WAIT_SECONDS) == 0
    for name, status in (("quit", 0), ("term", 0), ("stop", -signal.SIGKILL)):
        broker = start_broker()
        assert signal_to(f"{name}={broker.process.pid}").returncode == 0
        assert broker.process.wait(WAIT_SECONDS) == status


@pytest.mark.parametrize(
    ("text", "status", "sentence"),
    [
        ("dance", 2, "must be one of stop, quit, term, reopen, reload, ldm"),
        ("", 2, "must be one of"),
        ("stop=0", 1, "0 is not a process id"),
        ("stop=-1", 1, "no process id in '-1'"),
        ("reload=999999999", 1, "cannot be sent a signal"),
        ("reload=/none/such", 1, "there is no process id in '/none/such'"),
    ],
)
def test_wrong_signals(text: str, status: int, sentence: str) -> None:
    done = signal_to(text)
    assert done.returncode == status
    assert sentence in done.stderr and "Traceback" not in done.stderr


def test_settings_are_tested_without_a_start(tmp_path: Path, certificates: Certificates) -> None:
    config, data = tmp_path / "mq9.toml", tmp_path / "data"
    cert, key = certificates.cert_path("server"), certificates.key_path("server")
    config.write_text(f'tls_cert = "{cert}"\ntls_key = "{key}"\ndata_dir = "{data}"\n')
    for flag in ("-t", "--test-config"):
        done = run_broker("--config", config, flag)
        assert (done.returncode, done.stdout) == (0, "mq9fast: the settings are valid\n")
    config.write_text(config.read_text().replace(key, cert))
    done = run_broker("--config", config, "-t")
    assert done.returncode == 1 and "cannot be used" in done.stderr
    done = run_broker("-t", "--port", "x")
    assert done.returncode == 1 and "port, given by the flag --port" in done.stderr
    assert not data.exists()


def test_only_broker_of_a_user_is_found(start_broker: Start, tmp_path: Path) -> None:
    """In namespaces of its own, so that no other broker of the machine is found or gets a signal."""
    program = (
        "import os, subprocess, sys, time\n"
        "from mq9fast.server.control import _is_broker\n"
        "pid = int(sys.argv[1])\n"
        "print(_is_broker(pid), _is_broker(os.getpid()), _is_broker(1))\n"
    )
    broker = start_broker()
    found = subprocess.run(
        [sys.executable, "-c", program, str(broker.process.pid)], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["True", "False", "False"]
    assert os.getpid()
