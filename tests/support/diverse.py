"""A data directory with messages of every kind, and what is in it."""

import random
import shutil
from pathlib import Path
from typing import NamedTuple

from tests.support.broker import Broker
from tests.support.data_directory import flip_byte, log_files
from tests.support.mailbox import list_all
from tests.support.wire_client import Wire

ADDRESSES = ("small", "mixed", "large")
SUFFIXES = ("", ".urgent", ".critical")
ROUNDS = 3
DELAYED = 3


class Diverse(NamedTuple):
    """`stored`: the payloads of each mailbox, by id. Besides, `mixed` has DELAYED delayed messages.

    There are several tables, segments, and a log that is not empty: the broker was killed.
    """

    path: Path
    stored: dict[str, dict[int, str]]

    @property
    def total(self) -> int:
        """How many messages there are, delayed ones included."""
        return sum(map(len, self.stored.values())) + DELAYED

    def copy(self, to: Path) -> Path:
        """A copy to damage."""
        return Path(shutil.copytree(self.path, to))


def make_diverse(path: Path) -> Diverse:
    """Run a broker for some rounds of messages, and kill it."""
    broker = Broker(path)
    chance = random.Random(15)
    for number in range(ROUNDS):
        with Wire(broker.port) as wire:
            for address in ADDRESSES:
                wire.create(name=address, max_in_flight=3)
            _send(wire, chance, number)
        if number < ROUNDS - 1:
            broker.restart()
    stored = {address: listed(broker.port, address) for address in ADDRESSES}
    broker.end()
    return Diverse(path, stored)


def listed(port: int, address: str) -> dict[int, str]:
    """The payloads of the messages that are not delayed, by id."""
    with Wire(port) as wire:
        return {msg_id: text for msg_id, text in list_all(wire, address).items() if text != "later"}


def _text(chance: random.Random, size: int) -> str:
    return chance.randbytes(size // 2).hex()


def _send(wire: Wire, chance: random.Random, number: int) -> None:
    """Single messages of all priorities, record batches with deleted ones, large values, options."""
    for _ in range(40):
        wire.msg("small" + chance.choice(SUFFIXES), _text(chance, chance.randrange(600)))
        wire.msg("mixed" + chance.choice(SUFFIXES), _text(chance, chance.choice((10, 900, 3000))))
    for size in (20, 400):
        texts = [_text(chance, size).encode() for _ in range(150)]
        frames = b"".join(b"PUB $mq9.AI.MAILBOX.MSG.mixed %d\r\n%s\r\n" % (size, text) for text in texts)
        wire.send(frames)
        wire.ping()
    for _ in range(8):
        wire.msg("large", _text(chance, 40_000))
    header = b"NATS/1.0\r\nNats-TTL: 86400\r\nMq9-Key: k%d\r\nNats-Msg-Id: i%d\r\n\r\n" % (number, number)
    wire.msg("mixed", b"with a life", header)
    delayed = b"NATS/1.0\r\nMq9-Delay: 12h\r\n\r\n"
    wire.msg("mixed.urgent", b"later", delayed)
    for msg_id in chance.sample(range(150 * number, 150 * number + 300), 60):
        wire.delete("mixed", msg_id)


def damaged_files(path: Path) -> dict[str, Path]:
    """A file of each kind: the largest, or the newest of the log."""

    def largest(pattern: str) -> Path:
        return max(path.glob(pattern), key=lambda file: file.stat().st_size)

    return {
        "table": largest("*.sst"),
        "segment": largest("*.seg"),
        "log": log_files(path)[-1],
        "manifest": largest("MANIFEST-*"),
        "current": path / "CURRENT",
        "state": path / "mq9fast.state",
    }


def flip_in_the_middle(file: Path) -> None:
    """Invert a byte in the middle of a file."""
    flip_byte(file, file.stat().st_size // 2)
