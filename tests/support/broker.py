"""The real broker as a process."""

import json
import os
import re
import resource
import select
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from tests.support.waiting import START_SECONDS, WAIT_SECONDS, wait_until

# With TEST_ON_LOG=1 each broker is the owner of a replicated log: see logged_broker.py.
HAS_LOG = os.environ.get("TEST_ON_LOG") == "1"
MODULE = "tests.support.logged_broker" if HAS_LOG else "mq9fast"
# Between two looks for the result of a comparison, which comes after each test.
COMPARED_SECONDS = 0.0005
# The environment of a broker whose memory a test measures: a sanitized core keeps little freed memory then.
MEASURED = {"ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:quarantine_size_mb=1"}


class Broker:
    """`python -m mq9fast` on a free port, in its own data directory."""

    running: ClassVar[list["Broker"]] = []

    def __init__(
        self,
        data_dir: Path,
        *flags: str,
        env: dict[str, str] | None = None,
        monitor: bool = False,
        descriptors: int = 0,
        command: Sequence[str] | None = None,
    ) -> None:
        """`command`: starts the broker, instead of `python -m mq9fast`.
        `monitor`: keep the default monitoring port; otherwise it is off unless a flag sets it.
        `descriptors`: the limit of open file descriptors (RLIMIT_NOFILE), if not 0."""
        self.command = command or (sys.executable, "-m", MODULE)
        self.is_on_log = HAS_LOG and command is None
        self.descriptors = descriptors
        self.data_dir = data_dir
        self.log = data_dir.with_name(data_dir.name + ".log")
        monitoring = () if monitor else ("--monitor-port", "-1")
        self.flags = ("--port", "0", *monitoring, "--data-dir", str(data_dir), *flags)
        self.env = env or {}
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, *self.flags],
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **self.env},
                preexec_fn=self._limit if self.descriptors else None,
            )
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], START_SECONDS)
        line = self.process.stdout.readline().decode() if ready else ""
        found = re.search(r"listening on nats://(.*):(\d+)$", line.strip())
        if not found:
            self.kill()
            raise AssertionError(f"the broker did not start: {line!r} {self.log.read_text()}")
        self.port = int(found[2])
        self.running.append(self)

    def check_standby(self) -> None:
        """Check that the standby of an owner of a log has the same rows, once it has everything."""
        if not self.is_on_log or self.process.poll() is not None:
            return
        compared = self.data_dir.with_name(f"{self.data_dir.name}.compared")
        compared.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGRTMIN)
        wait_until(lambda: self.process.poll() is not None or compared.exists(), every=COMPARED_SECONDS)
        assert not compared.exists() or compared.read_text() == "", compared.read_text()

    def _limit(self) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.descriptors, self.descriptors))

    @property
    def open_descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    @property
    def cpu_seconds(self) -> float:
        return self._cpu_seconds("")

    @property
    def loop_seconds(self) -> float:
        """Processor time of the thread of the event loop, without the store's threads."""
        used = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/schedstat")
        if used.exists():
            return int(used.read_text().split()[0]) / 1e9
        return self._cpu_seconds(f"task/{self.process.pid}/")

    def _cpu_seconds(self, directory: str) -> float:
        fields = Path(f"/proc/{self.process.pid}/{directory}stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def ws_port(self) -> int:
        """The WebSocket port, read from the log."""
        return int(re.findall(r"for WebSocket clients on .*:(\d+)$", self.log.read_text(), re.MULTILINE)[-1])

    @property
    def rss_bytes(self) -> int:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("the broker is not running")

    @property
    def monitor_url(self) -> str:
        """The URL of the monitoring port, read from the log."""
        return re.findall(r"monitoring on (http://\S+)", self.log.read_text())[-1]

    def metric(self, name: str) -> int:
        """A value of /metrics. The broker must have been started with --monitor-port 0."""
        with urllib.request.urlopen(f"{self.monitor_url}/metrics", timeout=WAIT_SECONDS) as answer:
            values = re.search(rf"^{name} (\S+)$", answer.read().decode(), re.MULTILINE)
        assert values is not None, name
        return int(float(values[1]))

    @property
    def health(self) -> str:
        """The error that /healthz shows, or "". The broker must have been started with --monitor-port 0."""
        try:
            with urllib.request.urlopen(f"{self.monitor_url}/healthz", timeout=WAIT_SECONDS) as answer:
                answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return str(json.loads(error.read())["error"])
        return ""

    def kill(self) -> None:
        """Send SIGKILL: the broker flushes nothing."""
        self.process.kill()
        self.process.wait(WAIT_SECONDS)
        self._close_output()

    def stop(self, sign: int = signal.SIGTERM) -> int:
        """Send a signal that stops the broker. Returns its exit status."""
        self.process.send_signal(sign)
        status = self.process.wait(WAIT_SECONDS)
        self._close_output()
        return status

    def restart(self, *, kill: bool = False) -> None:
        self.kill() if kill else self.stop()
        self.start()

    def end(self) -> None:
        """Kill the broker in any state, and check that its log has no traceback and no failed assertion."""
        try:
            self.check_standby()
        finally:
            self.kill()
        log = self.log.read_text()
        assert "Traceback" not in log and "check failed" not in log, log

    def _close_output(self) -> None:
        if self in self.running:
            self.running.remove(self)
        if self.process.stdout is not None:
            self.process.stdout.close()


def run_broker(
    *arguments: str | Path, command: tuple[str | Path, ...] = (sys.executable, "-m", MODULE), **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a broker that is expected to exit by itself."""
    return subprocess.run(
        [*command, *arguments],
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        env={**os.environ, "MQ9FAST_PORT": "0", "MQ9FAST_MONITOR_PORT": "-1", **env},
    )


def start_error(*arguments: str | Path, may_log: bool = False, status: int = 1, **env: str) -> str:
    """The sentence that a broker prints instead of starting; `may_log`: log lines may precede it."""
    done = run_broker(*arguments, **env)
    assert done.returncode == status
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    *log, sentence = done.stderr.splitlines()
    assert may_log or not log, done.stderr
    assert re.fullmatch(r"mq9fast: .+", sentence), done.stderr
    return sentence
