"""Load for fault tests: writers that remember what was promised to them, and readers of whole mailboxes."""

import random
import threading
from collections.abc import Iterator

from tests.harness import MAILBOX, WAIT_SECONDS, Message, Wire

READ_SECONDS = WAIT_SECONDS


def frames(wire: Wire, timeout: float = READ_SECONDS) -> Iterator[Message]:
    """Every MSG and HMSG as it comes, at a cost that does not grow with what is read at once."""
    at = 0
    try:
        while True:
            end = wire.unread.find(b"\r\n", at)
            if end < 0:
                del wire.unread[:at]
                at = 0
                wire.fill(timeout)
                continue
            verb, *arguments = wire.unread[at:end].decode().split(" ")
            at = end + 2
            if verb not in {"MSG", "HMSG"}:
                assert verb in {"PONG", "PING"}, (verb, arguments)
                if verb == "PING":
                    wire.send("PONG\r\n")
                continue
            header = int(arguments.pop(-2)) if verb == "HMSG" else 0
            total = int(arguments.pop())
            while len(wire.unread) < at + total + 2:
                wire.fill(timeout)
            body = bytes(wire.unread[at : at + total])
            at += total + 2
            reply = arguments[2] if len(arguments) > 2 else ""
            yield Message(arguments[0], arguments[1], reply, body[:header], body[header:])
    finally:
        # What was not taken is there for the next reader.
        del wire.unread[:at]


def read_stored(port: int, address: str) -> dict[int, bytes]:
    """What a new subscriber is given of a mailbox, by id; as many as LIST counts, none of them twice."""
    stored: dict[int, bytes] = {}
    with Wire(port) as wire:
        total = wire.list(address, limit=1)["total"]
        wire.read_along(address)
        messages = frames(wire)
        for _ in range(total):
            message = next(messages)
            assert message.msg_id not in stored
            stored[message.msg_id] = message.payload
    return stored


def publish_many(wire: Wire, address: str, count: int, payload: bytes, at_once: int = 1000) -> None:
    """Send `payload` so many times without asking for replies, and wait until the broker read it all."""
    frame = b"PUB %s%s %d\r\n%s\r\n" % (b"$mq9.AI.MAILBOX.MSG.", address.encode(), len(payload), payload)
    for start in range(0, count, at_once):
        wire.send(frame * min(at_once, count - start))
    wire.ping(READ_SECONDS)


class Writer(threading.Thread):
    """Sends and deletes, pipelined, until the broker is gone; remembers each answer.

    A key is (address, msg_id). `maybe_deleted` are those whose deletion was asked for, answered or not.
    """

    WINDOW = 64
    DELETE_SHARE = 0.2

    def __init__(self, port: int, name: str, addresses: list[str], seed: int) -> None:
        super().__init__(name=name)
        self.port = port
        self.addresses = addresses
        self.random = random.Random(seed)
        self.acknowledged: dict[tuple[str, int], bytes] = {}
        self.deleted: set[tuple[str, int]] = set()
        self.maybe_deleted: set[tuple[str, int]] = set()
        self.sent = 0
        self.trouble: list[str] = []
        self._mine: list[tuple[str, int]] = []
        self._sends: dict[str, tuple[str, bytes]] = {}
        self._deletes: dict[str, tuple[str, int]] = {}

    def run(self) -> None:
        try:
            with Wire(self.port) as wire:
                wire.send(f"SUB {self.name}.* 1\r\n")
                answers = frames(wire)
                while True:
                    self._send_some(wire)
                    self._take(next(answers))
        except (OSError, EOFError):
            return
        except BaseException as error:
            self.trouble.append(repr(error))
            raise

    def _send_some(self, wire: Wire) -> None:
        room = self.WINDOW - len(self._sends) - len(self._deletes)
        if room < self.WINDOW // 2:
            return
        wire.send(b"".join(self._next_request() for _ in range(room)))

    def _next_request(self) -> bytes:
        self.sent += 1
        reply = f"{self.name}.{self.sent}"
        if self._mine and self.random.random() < self.DELETE_SHARE:
            at = self.random.randrange(len(self._mine))
            self._mine[at], self._mine[-1] = self._mine[-1], self._mine[at]
            address, msg_id = key = self._mine.pop()
            self._deletes[reply] = key
            self.maybe_deleted.add(key)
            return f"PUB {MAILBOX}DELETE.{address}.{msg_id} {reply} 0\r\n\r\n".encode()
        address = self.random.choice(self.addresses)
        rank = self.random.choice(["", "", ".normal", ".urgent", ".critical"])
        payload = f"{reply} ".encode() + b"x" * self.random.randrange(200)
        self._sends[reply] = (address, payload)
        return b"PUB %sMSG.%s%s %s %d\r\n%s\r\n" % (
            MAILBOX.encode(),
            address.encode(),
            rank.encode(),
            reply.encode(),
            len(payload),
            payload,
        )

    def _take(self, answer: Message) -> None:
        if answer.subject in self._deletes:
            assert answer.json == {"deleted": True}, answer
            self.deleted.add(self._deletes.pop(answer.subject))
            return
        address, payload = self._sends.pop(answer.subject)
        key = (address, answer.json["msg_id"])
        assert key not in self.acknowledged, key
        self.acknowledged[key] = payload
        self._mine.append(key)


class Watcher(threading.Thread):
    """Reads along in mailboxes until the broker is gone; remembers what it was given."""

    def __init__(self, port: int, addresses: list[str]) -> None:
        super().__init__(name="watcher")
        self.port = port
        self.addresses = addresses
        self.seen: dict[tuple[str, int], bytes] = {}

    def run(self) -> None:
        try:
            with Wire(self.port) as wire:
                for sid, address in enumerate(self.addresses):
                    wire.read_along(address, str(sid))
                for message in frames(wire):
                    self.seen[self.addresses[int(message.sid)], message.msg_id] = message.payload
        except (OSError, EOFError):
            return
