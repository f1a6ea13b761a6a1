"""A store whose broker was killed while a client sent messages."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from tests.support.broker import Broker
from tests.support.data_directory import pretend_reboot
from tests.support.faults.shim import Shim
from tests.support.mailbox import list_all
from tests.support.wire_client import Wire

# The body of each message.
TEXT = "x" * 900
# A larger MANIFEST has another block, in which records may be split.
BLOCK_BYTES = 32768

Store = TypeVar("Store", bound="KilledStore")


class KilledStore:
    """The data directory `path`. `ids`: of all messages of the mailbox `box` that were acknowledged."""

    def __init__(self, path: Path, ids: list[int]) -> None:
        self.path = path
        self.ids = ids
        self.manifest = path / (path / "CURRENT").read_text().strip()
        assert self.manifest.stat().st_size < BLOCK_BYTES

    def check_holds_all(self, path: Path | None = None) -> str:
        """Start a broker on this directory, or on `path`, and read the mailbox. Returns the broker's log."""
        broker = Broker(path or self.path)
        try:
            with Wire(broker.port) as wire:
                given = list_all(wire, "box")
            assert set(self.ids) <= given.keys() and set(given.values()) == {TEXT}
            log = broker.log.read_text()
            assert "acknowledged" not in log
            return log
        finally:
            broker.end()


def send_until_killed(
    directory: Path, command: Sequence[str], prepare: Callable[[Shim], object]
) -> list[int]:
    """Send messages to a broker in `directory / "data"`, until a fault of `prepare(shim)` kills it. Returns
    the ids of those that were acknowledged."""
    shim = Shim(directory)
    broker = Broker(directory / "data", "--min-free", "0", env=shim.env, command=command)
    ids = []
    prepare(shim)
    with Wire(broker.port) as wire:
        wire.create(name="box")
        while True:
            try:
                ids.append(wire.msg("box", TEXT)["msg_id"])
            except (OSError, EOFError):
                break
    broker.kill()
    return ids


def copy_after_reboot(store: Store, directory: Path) -> Store:
    """A copy of the store in `directory / "data"`, as it is after its machine was started again."""
    shutil.copytree(store.path, directory / "data")
    pretend_reboot(directory / "data")
    return type(store)(directory / "data", store.ids)
