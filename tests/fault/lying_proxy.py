"""A proxy between clients and a broker that changes frames: a broker with a planted fault."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from tests.support.wire_client import MAILBOX

DELIVERY = MAILBOX.encode() + b"MSG."


@dataclass
class Frame:
    """One operation of the NATS protocol. `payload`: headers and payload of an operation that has some."""

    words: list[bytes]
    payload: bytes = b""

    @property
    def verb(self) -> bytes:
        return self.words[0].upper()

    @property
    def subject(self) -> bytes:
        return self.words[1] if len(self.words) > 1 else b""

    @property
    def is_delivery(self) -> bool:
        return self.verb in (b"MSG", b"HMSG") and self.subject.startswith(DELIVERY)

    @property
    def is_reply(self) -> bool:
        return self.verb == b"MSG" and not self.subject.startswith(DELIVERY)

    def encode(self) -> bytes:
        line = b" ".join(self.words) + b"\r\n"
        return line + self.payload + b"\r\n" if self.verb in _WITH_PAYLOAD else line


_WITH_PAYLOAD = (b"PUB", b"HPUB", b"MSG", b"HMSG")
Change = Callable[[Frame], list[Frame]]


def unchanged(frame: Frame) -> list[Frame]:
    return [frame]


async def _frames(reader: asyncio.StreamReader) -> AsyncIterator[Frame]:
    while line := await reader.readline():
        frame = Frame(line.rstrip(b"\r\n").split(b" "))
        if frame.verb in _WITH_PAYLOAD:
            frame.payload = (await reader.readexactly(int(frame.words[-1]) + 2))[:-2]
        yield frame


@asynccontextmanager
async def lying_proxy(
    port: int, *, to_clients: Change = unchanged, to_broker: Change = unchanged
) -> AsyncIterator[int]:
    """The port of a proxy of the broker at `port`. It replaces each frame by those that a function returns.

    `to_broker` may return replies, whose verb is MSG: they go to the client.
    """
    tasks: set[asyncio.Task[None]] = set()

    async def relay(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        broker, to_the_broker = await asyncio.open_connection("127.0.0.1", port)

        async def copy(reader: asyncio.StreamReader, change: Change) -> None:
            async for frame in _frames(reader):
                for changed in change(frame):
                    is_reply = reader is broker or changed.verb == b"MSG"
                    (to_client if is_reply else to_the_broker).write(changed.encode())

        copies = [asyncio.create_task(copy(*each)) for each in ((client, to_broker), (broker, to_clients))]
        tasks.update(copies)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        for writer in (to_client, to_the_broker):
            writer.close()

    server = await asyncio.start_server(relay, "127.0.0.1", 0, limit=1 << 24)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
