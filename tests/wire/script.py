"""Parses the scenarios of the *.wire files, and plays them against mq9fast or nats-server.

A file is a list of blocks. The lines of a block:

    == a name                   starts a block. `== a name, cut anywhere` plays it once for each place where
                                its first write can be split in two
    with max_payload=64         settings of the server, with mq9fast's names
    with config=users.toml      a config file beside the *.wire files; nats-server uses users.conf
    differs because ...         why the servers differ on purpose; without it no line may name a server
    # anything                  a comment

    A opens                     A connects and reads INFO. Without this line, A also sends a CONNECT
    A info max_payload = 64     a field of that INFO; `~` means a pattern, and `= false` also means absent
    A > SUB a 1                 A sends a line; CR LF is added
    A >> SUB a                  the same without CR LF
    A < MSG a 1 2               A reads this line
    A ~ INFO .*                 A reads a line that matches this pattern
    A syncs                     A sends PING and waits for PONG. Lines before the PONG stay unread
    A waits                     A receives nothing for a tenth of a second
    A is closed                 the server closed the connection, and every line was read
    A leaves                    A closes its connection
    mq9fast: A < +OK            a line for one of the servers only; the other is `nats-server:`

Successive lines that a client sends are one write. `\\r`, `\\n`, `\\t`, `\\x00` and `\\\\` are escapes.
`{a*9}` is aaaaaaaaa. At the end of a block every open client syncs and leaves. A line that was not read by
then is a failure.
"""

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.broker import HAS_LOG
from tests.support.waiting import WAIT_SECONDS
from tests.support.wire_client import Wire

# nats-server is the same whatever core or store mq9fast has: it is not tried again with those.
SERVERS = ("mq9fast",) if HAS_LOG or os.environ.get("MQ9FAST_DEBUG") == "1" else ("mq9fast", "nats-server")
DEFAULT_CONNECT = 'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\n'
QUIET_SECONDS = 0.1
CUT_SECONDS = 0.005
CUT_ANYWHERE = ", cut anywhere"
_STEP = re.compile(
    r"(?:(mq9fast|nats-server): )?(\w+) (opens|syncs|waits|is closed|leaves|info|>>|[<>~])(?: (.*))?"
)
_REPEAT = re.compile(rb"\{(.)\*(\d+)\}", re.DOTALL)
_ESCAPE = re.compile(rb"\\(?:x([0-9a-f]{2})|(.))")
_PLAIN = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"\\": b"\\"}


class Step(NamedTuple):
    """One line of a block."""

    line: int
    server: str | None
    client: str
    action: str
    text: str


class Block(NamedTuple):
    """One scenario."""

    name: str
    settings: dict[str, str]
    steps: list[Step]

    @property
    def is_cut_anywhere(self) -> bool:
        return self.name.endswith(CUT_ANYWHERE)

    def first_bytes(self, server: str) -> bytes:
        """The bytes of the block's first write."""
        return next(write_bytes(list(steps)) for key, steps in self.groups(server) if key[1] == "send")

    def groups(self, server: str) -> Iterator[tuple[tuple[str, str], Iterator[Step]]]:
        """The steps for a server, grouped by client and action. The sends of a group are one write."""
        steps = (step for step in self.steps if step.server in {None, server})
        return groupby(
            steps, lambda step: (step.client, "send" if step.action in {">", ">>"} else step.action)
        )


def read(path: Path) -> list[Block]:
    """The blocks of a file. Raises AssertionError for a line that is not valid."""
    blocks: list[Block] = []
    differs = False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        where = f"{path.name}:{number}: {line!r}"
        if line.startswith("== "):
            assert line[3:] not in {block.name for block in blocks}, f"{where}: this name exists already"
            blocks.append(Block(line[3:], {}, []))
            differs = False
        elif line.startswith("with "):
            assert not blocks[-1].steps, where
            settings = dict(pair.split("=") for pair in line.split()[1:])
            if "config" in settings:
                settings["config"] = str(path.with_name(settings["config"]))
            blocks[-1].settings.update(settings)
        elif line.startswith("differs because "):
            differs = True
        elif line and not line.startswith("#"):
            found = _STEP.fullmatch(line)
            assert found is not None, where
            assert differs or found[1] is None, f"{where} needs a `differs because`"
            blocks[-1].steps.append(Step(number, found[1], found[2], found[3], found[4] or ""))
    return blocks


def as_bytes(text: str) -> bytes:
    """The bytes that a text of a block means: escapes and repetitions are expanded."""
    repeated = _REPEAT.sub(lambda found: found[1] * int(found[2]), text.encode())
    return _ESCAPE.sub(
        lambda found: bytes.fromhex(found[1].decode()) if found[1] else _PLAIN[found[2]], repeated
    )


def write_bytes(steps: list[Step]) -> bytes:
    """The bytes of successive sends."""
    return b"".join(as_bytes(step.text) + (b"\r\n" if step.action == ">" else b"") for step in steps)


class Play:
    """Plays a block once. `cut`: where the first write is split in two; 0 for nowhere."""

    def __init__(self, port: int, server: str, block: Block, cut: int = 0) -> None:
        self.port = port
        self.server = server
        self.block = block
        self.cut = cut
        self.wires: dict[str, Wire] = {}
        self.closed: set[str] = set()

    def run(self) -> None:
        for (client, action), steps in self.block.groups(self.server):
            if action == "send":
                self.send(self.wire(client), write_bytes(list(steps)))
                continue
            for step in steps:
                self.do(step)
        self.settle()

    def close(self) -> None:
        for client, wire in self.wires.items():
            if client not in self.closed:
                leave(wire)
            wire.close()

    def wire(self, client: str, connect: str = DEFAULT_CONNECT) -> Wire:
        if client not in self.wires:
            self.wires[client] = Wire(self.port, None)
            self.wires[client].send(connect)
        return self.wires[client]

    def send(self, wire: Wire, data: bytes) -> None:
        if self.cut:
            wire.send(data[: self.cut])
            time.sleep(CUT_SECONDS)
            data, self.cut = data[self.cut :], 0
        # The server may have closed the connection. What it sent before can still be read.
        with suppress(ConnectionError):
            wire.send(data)

    def do(self, step: Step) -> None:
        wire = self.wire(step.client, "" if step.action == "opens" else DEFAULT_CONNECT)
        where = f"line {step.line} of {self.block.name!r}, {self.server}"
        if step.action == "<":
            line = self.line(wire, where)
            assert line == as_bytes(step.text), f"{where}: {line!r} instead of {as_bytes(step.text)!r}"
        elif step.action == "~":
            line = self.line(wire, where)
            assert re.fullmatch(step.text.encode(), line), f"{where}: {line!r} is not like {step.text!r}"
        elif step.action == "info":
            check_info(wire.info, step.text, where)
        elif step.action == "syncs":
            sync(wire, where)
        elif step.action == "waits":
            assert not wire.closed(QUIET_SECONDS), f"{where}: closed after {bytes(wire.unread)!r}"
            assert not wire.unread, f"{where}: {bytes(wire.unread)!r}"
        elif step.action == "is closed":
            assert wire.closed(), f"{where}: it is open"
            assert not wire.unread, f"{where}: {bytes(wire.unread)!r} before the end"
            self.closed.add(step.client)
        elif step.action == "leaves":
            leave(wire)
            self.closed.add(step.client)

    def line(self, wire: Wire, where: str) -> bytes:
        try:
            return next_line(wire)
        except (EOFError, ConnectionError, TimeoutError) as error:
            raise AssertionError(f"{where}: {error!r} after {bytes(wire.unread)!r}") from None

    def settle(self) -> None:
        """Check that no client receives more than the block says."""
        still_open = {it: wire for it, wire in self.wires.items() if it not in self.closed}
        for _ in range(2):
            for client, wire in still_open.items():
                where = f"the end of {self.block.name!r}, {self.server}, {client}"
                sync(wire, where)
                assert not wire.unread, f"{where}: {bytes(wire.unread)!r} is left"
        for client, wire in still_open.items():
            leave(wire)
            self.closed.add(client)
            assert not wire.unread, (
                f"the end of {self.block.name!r}, {self.server}, {client}: {bytes(wire.unread)!r}"
            )


def next_line(wire: Wire) -> bytes:
    deadline = time.monotonic() + WAIT_SECONDS
    while b"\r\n" not in wire.unread:
        wire.receive(deadline - time.monotonic())
    line, _, rest = bytes(wire.unread).partition(b"\r\n")
    wire.unread = bytearray(rest)
    return line


def sync(wire: Wire, where: str) -> None:
    """Send PING and wait for PONG. What arrives before the PONG stays unread."""
    deadline = time.monotonic() + WAIT_SECONDS
    try:
        wire.send("PING\r\n")
        while not wire.unread.endswith(b"PONG\r\n"):
            wire.receive(deadline - time.monotonic())
    except (EOFError, ConnectionError, TimeoutError) as error:
        raise AssertionError(f"{where}: {error!r} after {bytes(wire.unread)!r}") from None
    del wire.unread[-6:]


def leave(wire: Wire) -> None:
    """Close the connection, and wait until the server closes it too."""
    with suppress(OSError):
        wire.socket.shutdown(socket.SHUT_WR)
        wire.closed()


def check_info(info: dict[str, Any], text: str, where: str) -> None:
    """Check a field of INFO. `text` is `field = JSON` or `field ~ pattern`."""
    field, operator, expected = text.split(" ", 2)
    value = info.get(field)
    if operator == "~":
        assert re.fullmatch(expected, json.dumps(value)), f"{where}: {value!r}"
    else:
        assert (value or False) == (json.loads(expected) or False), f"{where}: {value!r}"


def play(port: int, server: str, block: Block) -> None:
    """Play a block once, or once for each cut."""
    cuts = range(1, len(block.first_bytes(server))) if block.is_cut_anywhere else [0]
    for cut in cuts:
        with closing(Play(port, server, block, cut)) as played:
            played.run()
