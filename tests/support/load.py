"""Load for fault tests: a writer that records every reply, and a subscriber that records every message."""

import random
import threading

from tests.support.wire_client import MAILBOX, Message, Wire, read_messages


class Writer(threading.Thread):
    """Sends and deletes messages, pipelined, until the broker is gone. Records each reply.

    A key is (address, msg_id). `maybe_deleted`: the messages for which a DELETE was sent, replied or not.
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
        self.errors: list[str] = []
        self._mine: list[tuple[str, int]] = []
        self._sends: dict[str, tuple[str, bytes]] = {}
        self._deletes: dict[str, tuple[str, int]] = {}

    def run(self) -> None:
        try:
            with Wire(self.port) as wire:
                wire.send(f"SUB {self.name}.* 1\r\n")
                replies = read_messages(wire)
                while True:
                    self._send_some(wire)
                    self._record(next(replies))
        except (OSError, EOFError):
            return
        except BaseException as error:
            self.errors.append(repr(error))
            raise

    def _send_some(self, wire: Wire) -> None:
        free = self.WINDOW - len(self._sends) - len(self._deletes)
        if free < self.WINDOW // 2:
            return
        wire.send(b"".join(self._next_request() for _ in range(free)))

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

    def _record(self, reply: Message) -> None:
        if reply.subject in self._deletes:
            assert reply.json == {"deleted": True}, reply
            self.deleted.add(self._deletes.pop(reply.subject))
            return
        address, payload = self._sends.pop(reply.subject)
        key = (address, reply.json["msg_id"])
        assert key not in self.acknowledged, key
        self.acknowledged[key] = payload
        self._mine.append(key)


class Subscriber(threading.Thread):
    """Subscribes to mailboxes until the broker is gone. Records every message it receives."""

    def __init__(self, port: int, addresses: list[str]) -> None:
        super().__init__(name="subscriber")
        self.port = port
        self.addresses = addresses
        self.received: dict[tuple[str, int], bytes] = {}

    def run(self) -> None:
        try:
            with Wire(self.port) as wire:
                for sid, address in enumerate(self.addresses):
                    wire.subscribe(address, str(sid))
                for message in read_messages(wire):
                    self.received[self.addresses[int(message.sid)], message.msg_id] = message.payload
        except (OSError, EOFError):
            return
