"""What arrives on subscriptions, as async iterators: messages for members and watchers, and events."""

import asyncio
import heapq
import itertools
import logging
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Generic, TypeVar

import msgspec

from mq9fast.client.commands import LIST, MSG
from mq9fast.client.errors import ClientClosed, MessagesDropped, Mq9Error, TimedOut
from mq9fast.client.message import Message
from mq9fast.client.names import check_address, check_group
from mq9fast.client.received import RANKS
from mq9fast.client.replies import Event, Page, read_reply
from mq9fast.client.transport import Delivery, Subscription, Transport

T = TypeVar("T")
Item = TypeVar("Item")
Self = TypeVar("Self", bound="Stream[Any]")

logger = logging.getLogger("mq9fast.client")

EVENT = "$mq9.AI.MAILBOX.EVENT."
# A watcher that falls behind by more than this gets an error instead of all the memory.
MAX_WATCHED_BYTES = 128 * 1024 * 1024
# How often in an `ack_wait` a member says that it is still working.
BEATS = 3
GIVE_BACK_NOW = b'-NAK {"delay":0}'


class Stream(ABC, Generic[Item]):
    """Items by priority, then by arrival. It goes on after a lost connection is there again."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        # Priority, arrival, and the item.
        self._buffer: list[tuple[int, int, Item]] = []
        self._arrivals = itertools.count()
        self._ready = asyncio.Event()
        self._error: Mq9Error | None = None
        self.is_closed = False
        self._waiting = 0
        self._subscriptions: set[Subscription] = set()
        transport.lost.append(self._on_lost)

    def __aiter__(self: Self) -> Self:
        return self

    async def __anext__(self) -> Item:
        try:
            return await self.next()
        except ClientClosed:
            if self.is_closed:
                raise StopAsyncIteration from None
            raise

    async def next(self, timeout: float | None = None) -> Item:
        """The next item. Raises TimedOut after `timeout` seconds, ClientClosed, PermissionDenied."""
        self._waiting += 1
        try:
            return (
                await asyncio.wait_for(self._next(), timeout) if timeout is not None else await self._next()
            )
        except asyncio.TimeoutError:
            raise TimedOut(f"Nothing came within {timeout:g} s.") from None
        finally:
            self._waiting -= 1

    async def _next(self) -> Item:
        while not self._buffer:
            if self._error is not None:
                raise self._error
            await self._subscribe()
            if not self._buffer:
                self._ready.clear()
                await self._ready.wait()
        return heapq.heappop(self._buffer)[2]

    @abstractmethod
    async def _subscribe(self) -> None:
        """Make sure that items come."""

    def _put(self, item: Item, rank: int = 0) -> None:
        heapq.heappush(self._buffer, (rank, next(self._arrivals), item))
        self._ready.set()

    def _fail(self, error: Mq9Error) -> None:
        if self._error is None:
            self._error = error
        self._ready.set()

    def _on_lost(self) -> None:
        # The broker gives it out again.
        self._buffer.clear()
        self._ready.set()

    async def close(self) -> None:
        """Unsubscribe. The broker gives what is held to other members. Does nothing if it is closed."""
        self.is_closed = True
        self._fail(ClientClosed("The stream is closed."))
        if self._on_lost in self._transport.lost:
            self._transport.lost.remove(self._on_lost)
        for subscription in list(self._subscriptions):
            self._transport.forget(subscription)
            await subscription.unsubscribe()
        self._subscriptions.clear()

    async def __aenter__(self: Self) -> Self:
        await self._subscribe()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Member(Stream[Message[T]]):
    """A member of a queue group: it holds each message until that is settled, and no other member gets it.

    It asks for `prefetch` messages at a time, when it has none. With 1 it holds only what the program works
    on, so that the rest goes to members that are free, and the most urgent message is always the next one.
    With more it is faster; what it has and has not settled when it is closed counts as a failed delivery.
    """

    def __init__(
        self,
        transport: Transport,
        timeout: float,
        address: str,
        group: str,
        of: Any,
        priority: str,
        prefetch: int,
    ) -> None:
        super().__init__(transport)
        self._timeout = timeout
        self._of = of
        self._subject = MSG + check_address(address) + (f".{priority}" if priority else "")
        self.address = address
        self.group = check_group(group)
        self.prefetch = prefetch
        # How many messages the broker may still send.
        self._credit = 0
        # Reply subjects of messages that are not settled, and the messages that have an `ack_wait`.
        self._unsettled: set[str] = set()
        self._held: set[Message[T]] = set()
        self._beating: asyncio.Task[None] | None = None

    async def _subscribe(self) -> None:
        if self._credit >= self._waiting and self._credit > 0:
            return
        # A subscription with a maximum is a window: the broker sends that many messages, and the next window
        # is opened when the program wants more.
        self._credit += self.prefetch
        left = self.prefetch
        window: Subscription | None = None

        def receive(delivery: Delivery) -> None:
            nonlocal left
            left -= 1
            # 0 if it comes after `pause`.
            self._credit = max(self._credit - 1, 0)
            self._receive(delivery)
            if left == 0 and window is not None:
                self._transport.forget(window)

        try:
            window = await self._transport.subscribe(
                self._subject, receive, self._fail, queue=self.group, limit=self.prefetch
            )
        except BaseException:
            self._credit -= left
            raise
        self._subscriptions = {each for each in self._subscriptions if each.is_open}
        self._subscriptions.add(window)

    def _receive(self, delivery: Delivery) -> None:
        self._unsettled.add(delivery.reply)
        message: Message[T] = Message(
            self._transport, self._timeout, self.address, delivery, self._of, self._unsettled
        )
        if message.is_timed:
            self._held.add(message)
            if self._beating is None:
                self._beating = asyncio.create_task(self._beat())
        self._put(message, RANKS[message.priority])

    async def _beat(self) -> None:
        """While there are messages with an `ack_wait`, say that they are still worked on."""
        pause = await self._ack_wait() / BEATS
        while pause and self._held:
            await asyncio.sleep(pause)
            waiting = {id(item) for _, _, item in self._buffer}
            self._held = {
                each for each in self._held if not each.is_settled and (each.in_block or id(each) in waiting)
            }
            for message in self._held:
                await message.working()
        self._beating = None

    async def _ack_wait(self) -> float:
        """The `ack_wait` of the mailbox in seconds; 0 if this client may not know it."""
        try:
            reply = await self._transport.request(
                LIST + self.address, b'{"limit":1,"meta_only":true}', self._timeout, again=True
            )
            mailbox = read_reply(reply, Page).mailbox
        except Mq9Error as error:
            logger.warning("%s: its ack_wait is not known, and is not renewed: %s", self.address, error)
            return 0
        return float(mailbox.options.get("ack_wait", 0)) if mailbox else 0

    async def pause(self) -> None:
        """Ask for no message until `next` is called again: others get what comes meanwhile.

        With a `prefetch` of more than 1, what it was sent of an open window and has not settled goes back.
        """
        still_open = [each for each in self._subscriptions if each.is_open]
        self._subscriptions.clear()
        self._credit = 0
        for window in still_open:
            self._transport.forget(window)
            await window.unsubscribe()

    def _on_lost(self) -> None:
        super()._on_lost()
        # Its windows have ended.
        self._credit = 0
        self._subscriptions.clear()
        self._unsettled.clear()
        self._held.clear()

    async def close(self) -> None:
        """Leave the group, and give back what is held."""
        if self._beating is not None:
            self._beating.cancel()
        if self._error is None and self._transport.is_connected:
            # The broker has forgotten a window that is full, so UNSUB would give back nothing.
            for reply in list(self._unsettled):
                await self._transport.publish(reply, GIVE_BACK_NOW)
        self._unsettled.clear()
        self._buffer.clear()
        await super().close()


class Watcher(Stream[Message[T]]):
    """Gets every message: what is stored, then what comes. Others get them all the same.

    After a reconnect it gets again what is stored. To settle a message deletes it; to give it back does
    nothing.
    """

    def __init__(self, transport: Transport, timeout: float, address: str, of: Any, priority: str) -> None:
        super().__init__(transport)
        self._timeout = timeout
        self._of = of
        self._subject = MSG + check_address(address) + (f".{priority}" if priority else "")
        self._bytes = 0
        self.address = address

    async def _subscribe(self) -> None:
        if not self._subscriptions:
            self._subscriptions.add(await self._transport.subscribe(self._subject, self._receive, self._fail))

    def _receive(self, delivery: Delivery) -> None:
        if not self._buffer:
            self._bytes = 0
        self._bytes += len(delivery.data)
        if self._bytes > MAX_WATCHED_BYTES:
            self._fail(MessagesDropped(f"Messages came faster than they were read: {self.address}"))
            return
        message: Message[T] = Message(self._transport, self._timeout, self.address, delivery, self._of)
        self._put(message, RANKS[message.priority])


class Events(Stream[Event]):
    """What becomes of a mailbox; with `messages`, also of its messages. After a reconnect it begins anew."""

    def __init__(self, transport: Transport, address: str, messages: bool) -> None:
        super().__init__(transport)
        self._subject = EVENT + check_address(address) + (".*" if messages else "")
        self.address = address

    async def _subscribe(self) -> None:
        if not self._subscriptions:
            self._subscriptions.add(await self._transport.subscribe(self._subject, self._receive, self._fail))

    def _receive(self, delivery: Delivery) -> None:
        try:
            self._put(msgspec.json.decode(delivery.data, type=Event))
        except msgspec.DecodeError as error:
            self._fail(Mq9Error(f"An event could not be read: {error}"))
