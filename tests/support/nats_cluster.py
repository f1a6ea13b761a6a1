"""Three real nats-servers with JetStream that are one cluster, on this machine."""

import signal
import subprocess
import urllib.request
from pathlib import Path

from tests.support.nats_server import NATS_SERVER
from tests.support.ports import free_ports
from tests.support.waiting import START_SECONDS, WAIT_SECONDS, wait_until

SIZE = 3


class NatsCluster:
    """The servers run, and JetStream has a leader, when the constructor returns."""

    def __init__(self, directory: Path, *, sync_always: bool = True, max_payload: int = 1 << 20) -> None:
        ports = free_ports(3 * SIZE)
        self.ports, self._routes, self._monitors = ports[:SIZE], ports[SIZE : 2 * SIZE], ports[2 * SIZE :]
        self._directory = directory
        directory.mkdir(exist_ok=True)
        self.processes: list[subprocess.Popen[bytes] | None] = [None] * SIZE
        for i in range(SIZE):
            self._configure(i, sync_always=sync_always, max_payload=max_payload)
            self.start(i)
        try:
            wait_until(self._has_leader, START_SECONDS)
        except AssertionError:
            self.end()
            raise

    @property
    def urls(self) -> list[str]:
        return [f"nats://127.0.0.1:{port}" for port in self.ports]

    @property
    def monitor_urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self._monitors]

    def _configure(self, i: int, *, sync_always: bool, max_payload: int) -> None:
        routes = ", ".join(f"nats://127.0.0.1:{port}" for port in self._routes)
        sync = "sync_interval: always" if sync_always else ""
        (self._directory / f"n{i}.conf").write_text(
            f"server_name: n{i}\nlisten: 127.0.0.1:{self.ports[i]}\nmax_payload: {max_payload}\n"
            f"http: 127.0.0.1:{self._monitors[i]}\n"
            f"jetstream {{ store_dir: {self._directory}/js{i}, max_file: 10GB, {sync} }}\n"
            f"cluster {{ name: log, listen: 127.0.0.1:{self._routes[i]}, routes: [{routes}] }}\n"
        )

    def start(self, i: int) -> None:
        """Start a server, which may have been killed before."""
        assert NATS_SERVER is not None
        with (self._directory / f"n{i}.log").open("ab") as log:
            command = [NATS_SERVER, "-c", str(self._directory / f"n{i}.conf")]
            self.processes[i] = subprocess.Popen(command, stderr=log)

    def kill(self, i: int) -> None:
        """SIGKILL a server."""
        process = self.processes[i]
        assert process is not None
        process.kill()
        process.wait(WAIT_SECONDS)
        self.processes[i] = None

    def stop(self, i: int) -> None:
        """SIGSTOP a server."""
        process = self.processes[i]
        assert process is not None
        process.send_signal(signal.SIGSTOP)

    def _has_leader(self) -> bool:
        for i in range(SIZE):
            try:
                url = f"http://127.0.0.1:{self._monitors[i]}/healthz?js-enabled-only=false"
                with urllib.request.urlopen(url, timeout=WAIT_SECONDS) as answer:
                    answer.read()
            except OSError:
                return False
        return True

    def end(self) -> None:
        for process in self.processes:
            if process is not None:
                process.kill()
                process.wait(WAIT_SECONDS)
