"""The log on NATS JetStream: a stream with three replicas, whose servers fsync before they acknowledge.

An append names the sequence number that it expects to follow (`Nats-Expected-Last-Sequence`). The header
`Nats-Expected-Last-Msg-Id` is never sent: in nats-server 2.15.1 one refused publish with it leaves a stream
of several replicas without a leader.
"""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator

from mq9fast.cluster.appender import Appender, Found, PlaceTaken, Stored
from mq9fast.cluster.connection import Access, Connection, Opened
from mq9fast.cluster.jetstream_reader import JetStreamReader
from mq9fast.cluster.log import Bounds, LogError, LogFull
from mq9fast.cluster.tasks import end_tasks
from mq9fast.cluster.wire import Message

log = logging.getLogger("mq9fast.cluster")

ASK_SECONDS = 5.0
# How often an owner looks for the leader of the stream.
LOOK_SECONDS = 1.0
# max_payload counts the header of a message too.
HEADER_BYTES = 256
# Codes of JetStream's API.
NAME_IN_USE = 10058
NO_STREAM = 10059
WRONG_LAST_SEQUENCE = (10071, 10164)
# Of the stream, of the account, and of the servers.
NO_SPACE = (10077, 10023, 10047)


class JetStreamLog:
    """Implements `Log` with the stream `stream`. Call `connect` first, and `create` if it may be missing."""

    def __init__(self, access: Access, stream: str) -> None:
        self._stream = stream
        self._subject = stream.encode() + b".log"
        self._reader: JetStreamReader | None = None
        self._appender = Appender(self)
        self._connection = Connection(access, self._connected)
        self.append = self._appender.append
        self._staying: asyncio.Task[None] | None = None
        self._opened: Opened | None = None  # to the leader, to be used from the next append on
        self.max_record = 0

    async def connect(self) -> None:
        """Connect to a server, and wait for one. Raises LogError if they refuse."""
        await self._connection.connect()
        self.max_record = self._connection.max_payload - HEADER_BYTES

    async def create(self, *, replicas: int = 3, max_bytes: int = -1) -> None:
        """Make the stream if it is missing. Raises LogError, also if there is another one of that name."""
        config = {
            "name": self._stream,
            "subjects": [self._subject.decode()],
            "num_replicas": replicas,
            "retention": "limits",
            "storage": "file",
            # A full log refuses. It never drops records that a store may need.
            "discard": "new",
            "max_bytes": max_bytes,
            "allow_direct": True,
            "deny_delete": True,
            "duplicate_window": 100_000_000,
        }
        answer = await self._connection.ask(f"$JS.API.STREAM.CREATE.{self._stream}", config, ASK_SECONDS)
        error = answer.get("error")
        if error is None:
            return
        if error.get("err_code") != NAME_IN_USE:
            raise LogError(f"the stream {self._stream} cannot be made: {error.get('description')}")
        found = await self._connection.ask(f"$JS.API.STREAM.INFO.{self._stream}", {}, ASK_SECONDS)
        for name in ("subjects", "retention", "storage", "discard", "allow_direct"):
            if found.get("config", {}).get(name) != config[name]:
                raise LogError(f"the stream {self._stream} is not one of mq9fast: {name} differs")

    async def fence(self, record: bytes) -> int:
        sequence = await self._appender.fence(record)
        if self._staying is None:
            self._staying = asyncio.get_running_loop().create_task(self._stay_at_leader())
        return sequence

    async def _stay_at_leader(self) -> None:
        """Keep the owner connected to the server that leads the stream: any other one would pass on each
        append, and the answer to it."""
        while True:
            try:
                leader = await self._leader()
            except LogError as error:
                log.debug("the leader of the log is not known: %s", error)
                leader = ""
            if leader and leader != self._connection.server_name and self._opened is None:
                self._opened = await self._connection.open_to(leader)
                if self._appender.unanswered_since is None:
                    self._move()
            await asyncio.sleep(LOOK_SECONDS)

    def _move(self) -> None:
        """Use the connection to the leader, if there is one, while no answer to an append is awaited."""
        if self._opened is not None:
            opened, self._opened = self._opened, None
            self._connection.move(opened)
            self.read_again()

    async def _leader(self) -> str:
        """The name of the server that leads the stream, "" if it is not known. Raises LogError."""
        answer = await self._connection.ask(f"$JS.API.STREAM.INFO.{self._stream}", {}, ASK_SECONDS)
        return str(answer.get("cluster", {}).get("leader") or "")

    def end(self) -> int:
        return self._appender.end

    async def bounds(self) -> Bounds:
        answer = await self._connection.ask(f"$JS.API.STREAM.INFO.{self._stream}", {}, ASK_SECONDS)
        error = answer.get("error")
        if error is None:
            return Bounds(int(answer["state"]["first_seq"]), int(answer["state"]["last_seq"]))
        if error.get("err_code") == NO_STREAM:
            return Bounds(1, 0)
        raise LogError(f"the log does not tell its end: {error.get('description')}")

    @property
    def unanswered_since(self) -> float | None:
        return self._appender.unanswered_since

    async def read(self, first: int) -> AsyncIterator[tuple[int, bytes]]:
        reader = JetStreamReader(self._connection, self._stream, first)
        self._reader = reader
        try:
            async for record in reader.records():
                yield record
        finally:
            self._reader = None
            reader.close()

    def read_again(self) -> None:
        if self._reader is not None:
            self._reader.restart()

    def behind(self) -> int:
        """While a record is read: how many more the log has, as far as its server has told."""
        return 0 if self._reader is None else self._reader.behind()

    async def trim(self, upto: int) -> None:
        body = {"seq": upto}
        answer = await self._connection.ask(f"$JS.API.STREAM.PURGE.{self._stream}", body, ASK_SECONDS)
        if "error" in answer:
            raise LogError(f"the log cannot be trimmed: {answer['error'].get('description')}")

    async def close(self) -> None:
        if self._staying is not None:
            await end_tasks(self._staying)
        if self._opened is not None:
            self._opened.wire.abort("closed")
        self._appender.close()
        await self._connection.close()

    def _connected(self) -> None:
        self._appender.resend()
        self.read_again()

    # For the appender.

    def store(self, record: bytes, expected: int | None, answer: Stored) -> None:
        def receive(message: Message) -> None:
            self._connection.forget(reply)
            answer(_stored(message, 0 if expected is None else expected))

        self._move()
        reply = self._connection.reply_subject(receive)
        header = b"" if expected is None else b"Nats-Expected-Last-Sequence: %d\r\n" % expected
        self._connection.publish(self._subject, record, reply=reply, header=header)

    def find(self, sequence: int, answer: Found) -> None:
        def receive(message: Message) -> None:
            self._connection.forget(reply)
            if message.status:
                missing = message.status == b"404"
                answer(None if missing else LogError(f"status {message.status.decode()}"))
            else:
                answer(message.payload)

        reply = self._connection.reply_subject(receive)
        subject = b"$JS.API.DIRECT.GET." + self._stream.encode()
        self._connection.publish(subject, b'{"seq":%d}' % sequence, reply=reply)


def _stored(message: Message, expected: int) -> int | LogError:
    """What the answer to a publish says."""
    if message.status:
        # 503: nobody leads the stream now.
        return LogError(f"status {message.status.decode()}")
    try:
        found = json.loads(message.payload)
    except ValueError:
        return LogError("the answer to an append is not JSON")
    error = found.get("error")
    if error is None:
        return int(found["seq"])
    code, description = error.get("err_code"), str(error.get("description"))
    if code in WRONG_LAST_SEQUENCE:
        last = re.search(r"\d+$", description)
        return PlaceTaken(int(last[0]) if last else expected)
    if code in NO_SPACE and ("maximum" in description or "insufficient" in description):
        return LogFull(f"the replicated log is full: {description}")
    return LogError(description)
