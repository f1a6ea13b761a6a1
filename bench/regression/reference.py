"""Reference implementations of parts of the core, in plain Python.

Each does the same work on the same input, as simply as possible. Their speed stands for that of the machine
and the interpreter. Never make them faster: every threshold is a ratio to them.
"""

import heapq
import re
import struct
from collections.abc import Iterator

PUBLISH = re.compile(rb"PUB (\S+) (?:(\S+) )?(\d+)\r\n")
HEADER = re.compile(rb"([!-9;-~]+):[^\r\n]*")
BROKER_HEADERS = {b"mq9-from", b"mq9-deliveries", b"mq9-in-reply-to", b"mq9-receipt"}
KEY = struct.Struct(">QBQ")


def parse(data: bytes) -> Iterator[tuple[bytes, bytes | None, bytes]]:
    """(subject, reply, payload) of each PUB."""
    at = 0
    while found := PUBLISH.match(data, at):
        body = found.end()
        end = body + int(found[3])
        yield found[1], found[2], data[body:end]
        at = end + 2


def publish(data: bytes, subscribers: dict[bytes, list[tuple[bytes, bytearray]]]) -> None:
    """Deliver every PUB: `subscribers` has, by subject, sids and output buffers."""
    for subject, _, payload in parse(data):
        for sid, out in subscribers.get(subject, ()):
            out += b"MSG %b %b %d\r\n%b\r\n" % (subject, sid, len(payload), payload)


def send(data: bytes, next_ids: dict[bytes, int], batch: dict[bytes, bytes], out: bytearray) -> None:
    """Assign an id to each message, add it to the batch, and answer on its reply subject."""
    for subject, reply, payload in parse(data):
        address = subject.removeprefix(b"$mq9.AI.MAILBOX.MSG.")
        msg_id = next_ids[address]
        next_ids[address] = msg_id + 1
        batch[KEY.pack(1, 2, msg_id)] = payload
        body = b'{"msg_id":%d}' % msg_id
        out += b"MSG %b 1 %d\r\n%b\r\n" % (reply, len(body), body)


def read_headers(block: bytes) -> bytes:
    """Check a header block line by line, and return it without what only the broker may write."""
    first, *lines = block.split(b"\r\n")
    assert first == b"NATS/1.0" and lines[-2:] == [b"", b""] and b"\0" not in block
    kept = first + b"\r\n"
    for line in lines[:-2]:
        found = HEADER.fullmatch(line)
        assert found is not None
        if found[1].lower() not in BROKER_HEADERS:
            kept += line + b"\r\n"
    return kept + b"\r\n"


def replay(stored: dict[bytes, bytes], subject: bytes, out: bytearray) -> None:
    """Write the stored messages as MSG frames with a reply subject."""
    for key in sorted(stored):
        payload = stored[key]
        out += b"MSG %b 1 $mq9.AI.MAILBOX.DELETE.b.%d %d\r\n%b\r\n" % (
            subject,
            KEY.unpack(key)[2],
            len(payload),
            payload,
        )


class Trie:
    """Subscriptions in a trie of subject tokens."""

    def __init__(self) -> None:
        self.root: dict[bytes, dict] = {}

    def add(self, subject: bytes) -> None:
        node = self.root
        for token in subject.split(b"."):
            node = node.setdefault(token, {})
        node.setdefault(b"", {})[subject] = None

    def match(self, subject: bytes) -> list[bytes]:
        found: list[bytes] = []
        self._collect(self.root, subject.split(b"."), 0, found)
        return found

    def _collect(self, node: dict, tokens: list[bytes], at: int, found: list[bytes]) -> None:
        if at == len(tokens):
            found.extend(node.get(b"", ()))
            return
        if b">" in node:
            found.extend(node[b">"].get(b"", ()))
        for token in (b"*", tokens[at]):
            if token in node:
                self._collect(node[token], tokens, at + 1, found)


def share_out(messages: list[bytes], members: list[bytearray]) -> None:
    """Give each message to the next member in turn. It is in flight until the member answers."""
    in_flight: dict[int, int] = {}
    waiting = [(2, msg_id) for msg_id in range(len(messages))]
    heapq.heapify(waiting)
    while waiting:
        _, msg_id = heapq.heappop(waiting)
        member = msg_id % len(members)
        in_flight[msg_id] = member
        payload = messages[msg_id]
        members[member] += b"MSG $mq9.AI.MAILBOX.MSG.b 1 $mq9.AI.MAILBOX.DELETE.b.%d %d\r\n%b\r\n" % (
            msg_id,
            len(payload),
            payload,
        )
    for msg_id in range(len(messages)):
        answer = b"PUB $mq9.AI.MAILBOX.DELETE.b.%d 0\r\n\r\n" % msg_id
        for subject, _, _ in parse(answer):
            del in_flight[int(subject.rpartition(b".")[2])]
