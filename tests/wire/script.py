"""The scenarios of the *.wire files: read from their text, and played against any NATS server.

A file is a row of blocks. What a block consists of:

    == a name                   begins a block; `== a name, cut anywhere` plays it once for every place where
                                what is sent first can be cut in two writes
    with max_payload=64         the server's settings, with the names of mq9fast
    with config=users.toml      a file of settings beside the *.wire files; nats-server's is users.conf
    differs because ...         the servers differ on purpose, and why; without it no line may name one
    # anything                  a remark

    A opens                     A connects, reads INFO, and says nothing; who does not, says CONNECT at once
    A info max_payload = 64     a field of the INFO that it read; `~` is a pattern, `= false` may be absent
    A > SUB a 1                 A sends a line; CR LF is added
    A >> SUB a                  the same without CR LF
    A < MSG a 1 2               A reads this line
    A ~ INFO .*                 A reads a line that matches this pattern
    A syncs                     A sends PING and reads on until PONG; what comes before is kept to be read
    A waits                     nothing comes for a tenth of a second
    A is closed                 the connection is closed, and nothing was said before
    A leaves                    A closes its connection
    mq9fast: A < +OK            a line for one of the servers only; the other is `nats-server:`

What one client sends in successive lines is one write. `\\r`, `\\n`, `\\t`, `\\x00` and `\\\\` are escapes.
`{a*9}` is aaaaaaaaa. At the end of a block every client that is open sends PING and leaves: what was not
read before fails the block.
"""

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.waiting import WAIT_SECONDS
from tests.support.wire_client import Wire

SERVERS = ("mq9fast", "nats-server")
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
    who: str
    does: str
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
        """What the first write of the block sends."""
        return next(joined(list(steps)) for key, steps in self.runs(server) if key[1] == "send")

    def runs(self, server: str) -> Iterator[tuple[tuple[str, str], Iterator[Step]]]:
        """The steps for a server, those gathered that go out in one write."""
        steps = (step for step in self.steps if step.server in {None, server})
        return groupby(steps, lambda step: (step.who, "send" if step.does in {">", ">>"} else step.does))


def read(path: Path) -> list[Block]:
    """The blocks of a file; AssertionError where it cannot be read."""
    blocks: list[Block] = []
    differs = False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        where = f"{path.name}:{number}: {line!r}"
        if line.startswith("== "):
            assert line[3:] not in {block.name for block in blocks}, f"{where} is there twice"
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
    """A text of a block with its escapes and repetitions worked out."""
    repeated = _REPEAT.sub(lambda found: found[1] * int(found[2]), text.encode())
    return _ESCAPE.sub(
        lambda found: bytes.fromhex(found[1].decode()) if found[1] else _PLAIN[found[2]], repeated
    )


def joined(steps: list[Step]) -> bytes:
    """What successive sending lines send."""
    return b"".join(as_bytes(step.text) + (b"\r\n" if step.does == ">" else b"") for step in steps)


class Play:
    """One performance of a block. `cut`: where the first write is cut in two."""

    def __init__(self, port: int, server: str, block: Block, cut: int = 0) -> None:
        self.port = port
        self.server = server
        self.block = block
        self.cut = cut
        self.wires: dict[str, Wire] = {}
        self.closed: set[str] = set()

    def run(self) -> None:
        for (who, what), steps in self.block.runs(self.server):
            if what == "send":
                self.send(self.wire(who), joined(list(steps)))
                continue
            for step in steps:
                self.do(step)
        self.settle()

    def close(self) -> None:
        for who, wire in self.wires.items():
            if who not in self.closed:
                leave(wire)
            wire.close()

    def wire(self, who: str, connect: str = DEFAULT_CONNECT) -> Wire:
        if who not in self.wires:
            self.wires[who] = Wire(self.port, None)
            self.wires[who].send(connect)
        return self.wires[who]

    def send(self, wire: Wire, data: bytes) -> None:
        if self.cut:
            wire.send(data[: self.cut])
            time.sleep(CUT_SECONDS)
            data, self.cut = data[self.cut :], 0
        # What a connection that is closed already said is still to be read.
        with suppress(ConnectionError):
            wire.send(data)

    def do(self, step: Step) -> None:
        wire = self.wire(step.who, "" if step.does == "opens" else DEFAULT_CONNECT)
        where = f"line {step.line} of {self.block.name!r}, {self.server}"
        if step.does == "<":
            line = self.line(wire, where)
            assert line == as_bytes(step.text), f"{where}: {line!r} instead of {as_bytes(step.text)!r}"
        elif step.does == "~":
            line = self.line(wire, where)
            assert re.fullmatch(step.text.encode(), line), f"{where}: {line!r} is not like {step.text!r}"
        elif step.does == "info":
            check_info(wire.info, step.text, where)
        elif step.does == "syncs":
            sync(wire, where)
        elif step.does == "waits":
            assert not wire.closed(QUIET_SECONDS), f"{where}: closed after {bytes(wire.unread)!r}"
            assert not wire.unread, f"{where}: {bytes(wire.unread)!r}"
        elif step.does == "is closed":
            assert wire.closed(), f"{where}: it is open"
            assert not wire.unread, f"{where}: {bytes(wire.unread)!r} before the end"
            self.closed.add(step.who)
        elif step.does == "leaves":
            leave(wire)
            self.closed.add(step.who)

    def line(self, wire: Wire, where: str) -> bytes:
        try:
            return next_line(wire)
        except (EOFError, ConnectionError, TimeoutError) as error:
            raise AssertionError(f"{where}: {error!r} after {bytes(wire.unread)!r}") from None

    def settle(self) -> None:
        """Have what was sent arrive with everybody, and see that nobody was told more than the block says."""
        still_open = {who: wire for who, wire in self.wires.items() if who not in self.closed}
        for _ in range(2):
            for who, wire in still_open.items():
                where = f"the end of {self.block.name!r}, {self.server}, {who}"
                sync(wire, where)
                assert not wire.unread, f"{where}: {bytes(wire.unread)!r} is left"
        for who, wire in still_open.items():
            leave(wire)
            self.closed.add(who)
            assert not wire.unread, (
                f"the end of {self.block.name!r}, {self.server}, {who}: {bytes(wire.unread)!r}"
            )


def next_line(wire: Wire) -> bytes:
    deadline = time.monotonic() + WAIT_SECONDS
    while b"\r\n" not in wire.unread:
        wire.receive(deadline - time.monotonic())
    line, _, rest = bytes(wire.unread).partition(b"\r\n")
    wire.unread = bytearray(rest)
    return line


def sync(wire: Wire, where: str) -> None:
    """Have everything be read that was sent; what comes before PONG stays unread."""
    deadline = time.monotonic() + WAIT_SECONDS
    try:
        wire.send("PING\r\n")
        while not wire.unread.endswith(b"PONG\r\n"):
            wire.receive(deadline - time.monotonic())
    except (EOFError, ConnectionError, TimeoutError) as error:
        raise AssertionError(f"{where}: {error!r} after {bytes(wire.unread)!r}") from None
    del wire.unread[-6:]


def leave(wire: Wire) -> None:
    """Close and wait until the server has."""
    with suppress(OSError):
        wire.socket.shutdown(socket.SHUT_WR)
        wire.closed()


def check_info(info: dict[str, Any], text: str, where: str) -> None:
    """`field = JSON` or `field ~ pattern`."""
    field, how, expected = text.split(" ", 2)
    value = info.get(field)
    if how == "~":
        assert re.fullmatch(expected, json.dumps(value)), f"{where}: {value!r}"
    else:
        assert (value or False) == (json.loads(expected) or False), f"{where}: {value!r}"


def play(port: int, server: str, block: Block) -> None:
    """Play a block once, or once for every cut."""
    cuts = range(1, len(block.first_bytes(server))) if block.is_cut_anywhere else [0]
    for cut in cuts:
        with closing(Play(port, server, block, cut)) as one:
            one.run()
