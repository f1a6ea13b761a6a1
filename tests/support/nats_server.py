"""The real nats-server as a process, which mq9fast is compared with."""

import json
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

from tests.support.waiting import START_SECONDS, WAIT_SECONDS, wait_until

NATS_SERVER = shutil.which("nats-server", path=sysconfig.get_path("scripts")) or shutil.which("nats-server")
START_LINE = re.compile(r"Listening for client connections on .*:(\d+)\n")


class NatsServer:
    """nats-server on a free port. The settings have the names that mq9fast gives them."""

    def __init__(self, directory: Path, settings: dict[str, str]) -> None:
        assert NATS_SERVER is not None
        config = directory / "server.conf"
        config.write_text(configuration(settings))
        self.log = directory / "server.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([NATS_SERVER, "-c", str(config)], stderr=log)
        try:
            wait_until(self._listens, START_SECONDS)
        except AssertionError:
            self.end()
            raise
        self.port = int(START_LINE.findall(self.log.read_text())[0])

    def _listens(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return START_LINE.search(self.log.read_text()) is not None

    def end(self) -> None:
        self.process.kill()
        self.process.wait(WAIT_SECONDS)


def configuration(settings: dict[str, str]) -> str:
    """The text of nats-server's configuration file for settings of mq9fast."""
    host = settings.get("host", "127.0.0.1")
    lines = [f"host: {json.dumps(host)}", "port: -1"]
    sign_in = []
    for name, value in settings.items():
        if name in {"user", "password", "token"}:
            sign_in.append(f"{name}: {value}")
        elif name == "host":
            continue
        elif name == "config":
            lines.append(Path(value).with_suffix(".conf").read_text())
        elif name == "ping_interval":
            lines.append(f'{name}: "{value}s"')
        elif name == "auth_timeout":
            sign_in.append(f"timeout: {value}")
        else:
            lines.append(f"{name}: {value}")
    if sign_in:
        lines.append(f"authorization {{ {', '.join(sign_in)} }}")
    return "\n".join(lines) + "\n"
