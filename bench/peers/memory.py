"""`python -m bench.peers.memory`: the resident memory of each thing that a broker keeps."""

import json
import shutil
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.peers import versions
from bench.peers.exchange import Bytes, Marks, exchange
from bench.peers.machine import describe
from bench.peers.nats import Mailboxes, store
from bench.peers.payloads import MARK, payloads
from bench.peers.report import table_head, table_line
from bench.peers.rounds import tell
from bench.peers.rows_memory import IDLE, connect
from bench.peers.servers import Server, mq9fast
from tests.support.wire_client import Wire

ROOT = Path(__file__).parents[2]
ROUNDS = 3
MANY = 200_000
MILLION = 1_000_000
PONG = len(b"PONG\r\n")


class Thing(NamedTuple):
    """`cost(server, count)` creates `count` of the thing and returns the bytes that one takes."""

    name: str
    count: int
    cost: Callable[[Server, int], float]


def idle_connection(server: Server, count: int) -> float:
    return connect(server, count=count)[IDLE].value


def subscription(server: Server, count: int) -> float:
    return _subscribe(server, [f"SUB agents.{n:07}.inbox {n}\r\n" for n in range(count)])


def mailbox_subscription(server: Server, count: int) -> float:
    names = _mailboxes(server, count)
    return _subscribe(server, [f"SUB $mq9.AI.MAILBOX.MSG.{name} {n}\r\n" for n, name in enumerate(names)])


def mailbox(server: Server, count: int) -> float:
    """An empty mailbox. As many others are created first, so that the buffers of the store are in use."""
    with Wire(server.port) as wire:
        Mailboxes(wire).make([f"before.{n:07}" for n in range(count)])
    before = server.settled_rss_bytes()
    _mailboxes(server, count)
    return (server.settled_rss_bytes() - before) / count


def stored_message(server: Server, count: int) -> float:
    """A message of 100 bytes without a subscriber."""
    before = server.settled_rss_bytes()
    store(server, ["bench"], payloads(100), count)
    return (server.settled_rss_bytes() - before) / count


def pending_delivery(server: Server, count: int) -> float:
    """A message that is in flight at a member of a queue group."""
    store(server, ["bench"], payloads(100), count)
    before = server.settled_rss_bytes()
    with Wire(server.port) as member:
        member.subscribe("bench", queue="workers")
        exchange([], [Marks(member.socket, MARK, count)])
        return (server.settled_rss_bytes() - before) / count


THINGS = [
    Thing("idle connection", 5000, idle_connection),
    Thing("plain subscription", MANY, subscription),
    Thing("mailbox, empty", MILLION, mailbox),
    Thing("subscription to a mailbox", MANY, mailbox_subscription),
    Thing("stored message of 100 bytes", MILLION, stored_message),
    Thing("message given to a queue group, not answered", MILLION, pending_delivery),
]


def _mailboxes(server: Server, count: int) -> list[str]:
    names = [f"agents.{n:07}" for n in range(count)]
    with Wire(server.port) as wire:
        Mailboxes(wire).make(names)
    return names


def _subscribe(server: Server, lines: list[str]) -> float:
    before = server.settled_rss_bytes()
    with Wire(server.port) as wire:
        wire.ping()
        wire.send("".join(lines) + "PING\r\n")
        exchange([], [Bytes(wire.socket, PONG)])
        return (server.settled_rss_bytes() - before) / len(lines)


def main() -> int:
    place = ROOT / "build" / "memory"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    found: dict[str, list[float]] = {}
    for number in range(ROUNDS):
        for thing in THINGS:
            tell(f"{thing.name}: round {number + 1} of {ROUNDS}")
            server = mq9fast("interval").start(place / "server")
            try:
                found.setdefault(thing.name, []).append(thing.cost(server, thing.count))
            finally:
                server.end()
                shutil.rmtree(place / "server")
    facts = {**versions.run(ROOT), "machine": describe(place), "rounds": ROUNDS, "bytes": found}
    stem = ROOT / "bench" / "results" / f"{facts['date']}-memory"
    stem.parent.mkdir(exist_ok=True)
    text = markdown(facts)
    stem.with_suffix(".json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    stem.with_suffix(".md").write_text(text)
    print(text)
    return 0


def markdown(facts: dict) -> str:  # type: ignore[type-arg]
    lines = [
        f"# Memory of each thing, {facts['date']}",
        "",
        f"Commit {facts['commit']}, Python {facts['machine']['Python']}; growth",
        f"of resident memory when the broker is idle, median of {facts['rounds']} brokers.",
        "",
        *table_head(["one", "of", "bytes", "min to max"]),
    ]
    for thing in THINGS:
        values = facts["bytes"][thing.name]
        spread = f"{min(values):,.0f} to {max(values):,.0f}"
        lines.append(
            table_line([thing.name, f"{thing.count:,}", f"{statistics.median(values):,.0f}", spread])
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
