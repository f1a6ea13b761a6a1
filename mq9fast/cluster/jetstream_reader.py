"""Reads a stream of JetStream in order, and goes on with each new record.

A consumer on the servers sends the records, numbered. If one is missing, or nothing comes for too long,
another consumer is made that goes on behind the last record. Consumers keep nothing on disk.

A consumer is made by the leader of all of JetStream. If that server is lost, an election of 4 to 9 seconds
comes first. So while no consumer gives a sign, records are asked for one by one, which any server with a
replica of the stream answers.
"""

import asyncio
import collections
import contextlib
import json
import logging
import secrets
from collections.abc import AsyncIterator

from mq9fast.cluster.connection import Connection
from mq9fast.cluster.wire import Message

log = logging.getLogger("mq9fast.cluster")

HEARTBEAT_SECONDS = 0.5
# Without any sign of the consumer for this long, another one is made.
SILENT_SECONDS = 1.5
# How often the next record is asked for without a consumer.
FIND_SECONDS = 0.1
# The servers forget a consumer that nobody listens to.
FORGET_SECONDS = 5
NANOSECONDS = 1_000_000_000


class JetStreamReader:
    """Reads the records from the sequence number `first` on. `records` is used once."""

    def __init__(self, connection: Connection, stream: str, first: int) -> None:
        self._connection = connection
        self._stream = stream
        self._next = first
        self._delivered = 0  # by the consumer
        self._sid = self._answer = self._finding = self._reply = b""
        self._queue: collections.deque[Message] = collections.deque()
        self._arrived = asyncio.Event()
        self._must_restart = True
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._started_at = self._loop.time()  # of a consumer, and of the last one

    async def records(self) -> AsyncIterator[tuple[int, bytes]]:
        """The records, each with its sequence number, until `close`."""
        while True:
            if self._must_restart:
                self._start()
            while self._queue and not self._must_restart:
                message = self._queue.popleft()
                if message.status:
                    self._control(message)
                    continue
                sequence = self._take(message)
                if sequence >= self._next:
                    self._next = sequence + 1
                    if not message.reply:
                        self._find()
                    yield sequence, message.payload
            if not self._must_restart:
                await self._wait()

    def _take(self, message: Message) -> int:
        """The number of a record; 0 if it is not to be used."""
        if not message.reply:  # it was asked for
            return int(message.field(b"Nats-Sequence"))
        sequence, delivered, _ = _numbers(message.reply)
        if delivered != self._delivered + 1:
            self._must_restart = True
            return 0
        self._delivered = delivered
        self._reply = message.reply
        return sequence

    def behind(self) -> int:
        """How many records the log has behind the one that was read last, as far as its server has told."""
        queued = [message.reply for message in self._queue if message.reply and not message.status]
        last = queued[-1] if queued else self._reply
        return len(queued) + (_numbers(last)[2] if last else 0)

    def restart(self) -> None:
        """Make another consumer: the connection is another one now, or this consumer sends nothing."""
        self._must_restart = True
        self._arrived.set()

    def close(self) -> None:
        """Receive nothing more."""
        self._connection.unsubscribe(self._sid)
        for subject in (self._answer, self._finding):
            self._connection.forget(subject)

    async def _wait(self) -> None:
        self._arrived.clear()
        if self._queue:
            return
        left = self._heard_at + SILENT_SECONDS - self._loop.time()
        try:
            await asyncio.wait_for(self._arrived.wait(), left if left > 0 else FIND_SECONDS)
        except asyncio.TimeoutError:
            since = self._loop.time() - SILENT_SECONDS
            if max(self._heard_at, self._started_at) <= since:
                self._start()
            if self._heard_at <= since:
                self._find()

    def _find(self) -> None:
        """Ask for the next record. If there is none yet, it is asked for again."""
        self._connection.forget(self._finding)
        self._finding = self._connection.reply_subject(self._found)
        subject = b"$JS.API.DIRECT.GET." + self._stream.encode()
        self._connection.publish(subject, b'{"seq":%d}' % self._next, reply=self._finding)

    def _found(self, message: Message) -> None:
        self._connection.forget(self._finding)
        if not message.status:
            self._queue.append(message)
            self._arrived.set()

    def _start(self) -> None:
        """Make a consumer. If that fails, nothing comes of it, and another one follows."""
        self._must_restart = False
        self.close()
        self._queue.clear()
        self._delivered = 0
        self._started_at = self._loop.time()
        subject, self._sid = self._connection.subscribe(self._receive)
        name = f"mq9-{secrets.token_hex(8)}"
        config = {
            "name": name,
            "deliver_subject": subject.decode(),
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._next,
            "ack_policy": "none",
            "replay_policy": "instant",
            "flow_control": True,
            "idle_heartbeat": int(HEARTBEAT_SECONDS * NANOSECONDS),
            "inactive_threshold": FORGET_SECONDS * NANOSECONDS,
            "mem_storage": True,
            "num_replicas": 1,
            "max_deliver": 1,
        }
        create = f"$JS.API.CONSUMER.CREATE.{self._stream}.{name}"
        body = json.dumps({"stream_name": self._stream, "config": config})
        self._answer = self._connection.reply_subject(self._created)
        self._connection.publish(create.encode(), body.encode(), reply=self._answer)

    def _created(self, message: Message) -> None:
        if message.status or b'"error"' in message.payload:
            log.debug("no consumer of the log: %s", (message.header + message.payload).decode())

    def _receive(self, message: Message) -> None:
        self._heard_at = self._loop.time()
        self._queue.append(message)
        self._arrived.set()

    def _control(self, message: Message) -> None:
        """A heartbeat, or the question whether everything before it was taken."""
        if message.reply:
            self._connection.publish(message.reply, b"")
        elif stalled := message.field(b"Nats-Consumer-Stalled"):
            self._connection.publish(stalled, b"")
        last = message.field(b"Nats-Last-Consumer")
        with contextlib.suppress(ValueError):
            if last and int(last) != self._delivered:
                self._must_restart = True


def _numbers(reply: bytes) -> tuple[int, int, int]:
    """What the reply subject of a record says: its number in the stream, its number among those of the
    consumer, and how many more there were when it was sent."""
    words = reply.split(b".")
    at = 5 if len(words) == 9 else 7  # with a domain and an account
    return int(words[at]), int(words[at + 1]), int(words[at + 3])
