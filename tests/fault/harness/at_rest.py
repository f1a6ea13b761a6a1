"""Damage to files of a broker that does not run: it must not start, or serve nothing wrong in silence."""

import asyncio
import random
import re
from pathlib import Path

from tests.fault.harness.boxes import OPTIONS
from tests.fault.harness.workload import Workload
from tests.fault.history.client import RecordingClient
from tests.fault.history.history import History
from tests.support.broker import Broker
from tests.support.faults.power import flip_bit

# What no message depends on: RocksDB writes them for people, or anew.
SPARE = ("LOG*", "OPTIONS-*", "IDENTITY", "LOCK", "rocksdict-config.json")


class SilentLossError(Exception):
    """A broker served a damaged directory as if it were sound."""


async def damage_a_copy(sound: Path, workload: Workload, chance: random.Random) -> None:
    """Damage one file of a copy of a data directory. Raises SilentLossError if it is not noticed."""
    wanted = await _contents(sound, workload)
    what = _damage(chance.choice(_files(sound)), chance)
    log = sound.with_name("sound.log")
    log.unlink(missing_ok=True)
    try:
        found = await _contents(sound, workload)
    except AssertionError:
        _check_refusal(log.read_text(), what)
        return
    # Messages with a life may have expired since.
    lasting = [box for box in wanted if "max_age" not in OPTIONS[box]]
    lost = {box: wanted[box] - found[box] for box in lasting if wanted[box] - found[box]}
    if lost and not re.search(r"WARNING|ERROR|CRITICAL", log.read_text()):
        raise SilentLossError(f"{what}: {lost} are not served, and the log does not say why")


def _files(directory: Path) -> list[Path]:
    return [
        path
        for path in sorted(directory.iterdir())
        if path.is_file() and path.stat().st_size and not any(path.match(pattern) for pattern in SPARE)
    ]


def _damage(path: Path, chance: random.Random) -> str:
    match chance.choice(("flip", "flip", "remove", "cut")):
        case "flip":
            return f"bit of byte {flip_bit(path, chance)} of {path.name} flipped"
        case "cut":
            size = chance.randrange(path.stat().st_size)
            with path.open("r+b") as file:
                file.truncate(size)
            return f"{path.name} cut off at {size}"
    path.unlink()
    return f"{path.name} removed"


async def _contents(directory: Path, workload: Workload) -> dict[str, set[int]]:
    """The ids that a broker lists, by mailbox. Raises AssertionError if it does not start."""
    broker = await asyncio.to_thread(Broker, directory, "--min-free", "0")
    found: dict[str, set[int]] = {}
    try:
        async with await RecordingClient(History(), "reader").connect([broker.url]) as client:
            for box in OPTIONS:
                listing = await client.list(f"{workload.prefix}.{box}")
                assert listing is not None
                wrong = [
                    seen
                    for seen in listing.messages
                    if seen.uid is None and "Mq9-Receipt" not in seen.headers
                ]
                if wrong:
                    raise SilentLossError(f"a damaged message is served: {wrong[0]}")
                found[box] = {seen.msg_id for seen in listing.messages if seen.uid is not None}
                if listing.code == "store_unavailable":
                    found[box] = set(range(10**6))  # it says so
    finally:
        await asyncio.to_thread(broker.stop)
    return found


def _check_refusal(log: str, what: str) -> None:
    if "Traceback" in log or not re.search(r"^mq9fast: .+", log, re.MULTILINE):
        raise SilentLossError(f"{what}: the broker does not start, and has no sentence for it: {log[-2000:]}")
