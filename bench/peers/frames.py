"""Receives messages of any size without looking into their payloads, at as little cost as possible."""

import socket

from bench.peers.exchange import DISCARD, READ_BYTES

# Linux drops payloads from this size on without copying them.
MIN_DROPPED_BYTES = 32 << 10
# What is read of a frame with such a payload: more than its first line.
HEAD_BYTES = 512


class Frames:
    """The frames that a connection receives. `unread`: bytes that were received before.

    Only those of messages without headers are returned: JetStream's HMSG frames tell the state of a pull.
    """

    def __init__(self, connection: socket.socket, unread: bytes = b"") -> None:
        self.socket = connection
        self.buffer = bytearray(READ_BYTES)
        self.kept = len(unread)
        self.buffer[: self.kept] = unread
        self.read_bytes = READ_BYTES
        self.skip = 0  # bytes that are left of the frame `name`
        self.name = b""  # empty unless it is a MSG

    def receive(self, flags: int = 0) -> list[bytes]:
        """Receive once. Return the reply subjects of the MSG frames that have arrived completely.

        Raises BlockingIOError if `flags` has MSG_DONTWAIT and nothing has arrived.
        """
        if self.skip >= MIN_DROPPED_BYTES:
            self.skip -= self._some(self.buffer, min(self.skip, READ_BYTES), flags | DISCARD)
            # A smaller rest is read together with the next line.
            return [self.name] if self.name and not self.skip else []
        end = self.kept + self._some(memoryview(self.buffer)[self.kept :], self._wanted(), flags)
        at, names = self.skip, []
        if 0 < at <= end and self.name:
            names.append(self.name)
        while (line_end := self.buffer.find(b"\r\n", at, end)) >= 0:
            fields = bytes(self.buffer[at:line_end]).split(b" ")
            at = line_end + 2
            if fields[0] in {b"MSG", b"HMSG"}:
                size = int(fields[-1])
                self.read_bytes = HEAD_BYTES if size >= MIN_DROPPED_BYTES else READ_BYTES
                self.name = fields[3] if fields[0] == b"MSG" else b""
                at += size + 2
                if at <= end and self.name:
                    names.append(self.name)
        # The next read begins with the part of a line that is left, or with bytes to skip.
        self.kept = max(0, end - at)
        self.skip = max(0, at - end)
        self.buffer[: self.kept] = self.buffer[at : at + self.kept]
        return names

    def _wanted(self) -> int:
        return min(self.skip + self.read_bytes, READ_BYTES - self.kept)

    def _some(self, into: bytearray | memoryview, size: int, flags: int) -> int:
        found = self.socket.recv_into(into, size, flags)
        if found == 0:
            raise EOFError("the connection was closed while more was expected")
        return found


class Messages(Frames):
    """Receives `count` messages, for `exchange`."""

    def __init__(self, connection: socket.socket, count: int) -> None:
        super().__init__(connection)
        self.left = count

    def take(self) -> bool:
        """Receive once. Return False when all messages have arrived."""
        # The kernel sleeps until a large payload is there.
        flags = socket.MSG_WAITALL if self.skip >= MIN_DROPPED_BYTES else 0
        try:
            self.left -= len(self.receive(flags))
        except BlockingIOError as error:
            raise TimeoutError("nothing received while more was expected") from error
        return self.left > 0
