"""Both programs of each chapter of docs/moving.md, run against the real servers, print what the page says."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.peers.amqp import RABBIT
from bench.peers.nats import jetstream
from bench.peers.resp import redis
from bench.peers.servers import Setup
from tests.support.broker import Broker
from tests.support.programs import run_in_coroutine

PAGE = (Path(__file__).parents[2] / "docs" / "moving.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# By a word of the heading: the server, and the port that its program names.
PEERS: dict[str, tuple[Setup, str]] = {
    "list": (redis("everysec"), "6379"),
    "stream": (redis("everysec"), "6379"),
    "RabbitMQ": (RABBIT, "5672"),
    "JetStream": (jetstream(), "4223"),
}


def chapters() -> dict[str, tuple[str, str, str]]:
    """The program for the peer, the one for mq9fast, and what both print, by heading."""
    parts = re.split(r"^## (.*)\n", PAGE, flags=re.MULTILINE)[1:]
    found = {}
    for heading, text in zip(parts[::2], parts[1::2], strict=True):
        (before_is, before), (after_is, after), (output_is, output) = BLOCK.findall(text)
        assert (before_is, after_is, output_is) == ("python", "python", "text")
        found[heading] = (before, after, output)
    return found


CHAPTERS = chapters()


def run(program: str) -> str:
    ran = run_in_coroutine(program)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def peer_of(heading: str) -> tuple[Setup, str]:
    (found,) = [peer for word, peer in PEERS.items() if word in heading.split()]
    return found


@pytest.mark.parametrize("heading", CHAPTERS)
def test_program_for_mq9fast(start_broker: Callable[..., Broker], heading: str) -> None:
    _, after, output = CHAPTERS[heading]
    assert run(after.replace("nats://127.0.0.1:4222", start_broker().url)) == output


@pytest.mark.parametrize("heading", CHAPTERS)
def test_program_for_the_peer(tmp_path: Path, heading: str) -> None:
    before, _, output = CHAPTERS[heading]
    setup, port = peer_of(heading)
    if setup.missing:
        pytest.skip(setup.missing)
    assert port in before
    server = setup.start(tmp_path / "peer")
    try:
        assert run(before.replace(port, str(server.port))) == output
    finally:
        server.end()
