"""A mailbox, as the program that reads it sees it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mq9fast.client.errors import Mq9Error
from mq9fast.client.message import Message
from mq9fast.client.replies import Created, ListedMessage, MailboxInfo, Sent
from mq9fast.client.stream import Events, Member, Watcher

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from mq9fast.client.client import Mq9
    from mq9fast.client.options import SendOptions

T = TypeVar("T")

logger = logging.getLogger("mq9fast.client")

# The group that a program reads a mailbox in if it names none: several processes share the messages.
DEFAULT_GROUP = "inbox"
# How often in its TTL a mailbox is renewed.
RENEWALS = 3


class Mailbox(Generic[T]):
    """`await mq9.mailbox(...)` creates it. So does `async with`, which also renews its TTL until the block
    ends.

    `async for message in mailbox` reads it as a member of the group `inbox`.
    """

    def __init__(self, mq9: "Mq9", fields: dict[str, Any], of: Any) -> None:
        self._mq9 = mq9
        self._fields = fields
        self._of = of
        self._address: str | None = fields.get("name")
        self._member: Member[T] | None = None
        self._renewing: asyncio.Task[None] | None = None
        # What CREATE replied.
        self.created: Created | None = None

    @property
    def address(self) -> str:
        """The address. Raises Mq9Error if it is still to be generated."""
        if self._address is None:
            raise Mq9Error("The mailbox has no address yet: create it, with await or async with.")
        return self._address

    async def create(self) -> "Mailbox[T]":
        """CREATE, as `await mailbox` does."""
        self.created = await self._mq9.create(**self._fields)
        if self._address is None:
            self._address = self._fields["name"] = self.created.mail_address
            self._fields.pop("prefix", None)
        return self

    def __await__(self) -> "Generator[Any, None, Mailbox[T]]":
        return self.create().__await__()

    async def __aenter__(self) -> "Mailbox[T]":
        await self.create()
        await self.keep_renewing()
        return self

    async def keep_renewing(self) -> None:
        """Renew its TTL until the end of the block."""
        if self._fields.get("ttl"):
            self._renewing = asyncio.create_task(self._renew_again_and_again(self._fields["ttl"] / RENEWALS))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
        if self._member is not None:
            await self._member.close()

    async def _renew_again_and_again(self, pause: float) -> None:
        while True:
            await asyncio.sleep(pause)
            try:
                await self.renew()
            except Mq9Error as error:
                logger.warning("the mailbox %s could not be renewed: %s", self.address, error)

    async def renew(self) -> Created:
        """Start its TTL again, or create it again if it has expired."""
        return await self._mq9.create(**self._fields)

    def __aiter__(self) -> Member[T]:
        if self._member is None:
            self._member = self.group(DEFAULT_GROUP)
        return self._member

    async def next(self, timeout: float | None = None) -> Message[T]:
        """The next message, as a member of the group `inbox`. Raises TimedOut."""
        return await self.__aiter__().next(timeout)

    def group(self, name: str, *, prefetch: int = 1) -> Member[T]:
        """A member of this queue group of the mailbox. See `Mq9.group`."""
        return self._mq9._member(self.address, name, self._of, "", prefetch)

    def watch(self) -> Watcher[T]:
        """Every message of the mailbox, also those that others receive."""
        return self._mq9._watcher(self.address, self._of, "")

    async def send(self, body: object, **options: "Unpack[SendOptions]") -> Sent:
        """Store a message in the mailbox. See `Mq9.send`."""
        return await self._mq9.send(self.address, body, **options)

    def list(self, *, newest_first: bool = False, meta_only: bool = False) -> AsyncIterator[ListedMessage]:
        """All messages of the mailbox, page after page."""
        return self._mq9.list(self.address, newest_first=newest_first, meta_only=meta_only)

    async def info(self) -> MailboxInfo:
        """What is known of the mailbox, without its messages."""
        return await self._mq9.info(self.address)

    async def delete(self, msg_id: int) -> bool:
        """Delete a message; whether it was there."""
        return await self._mq9.delete(self.address, msg_id)

    def events(self, *, messages: bool = False) -> Events:
        """What becomes of the mailbox, and with `messages` of each message."""
        return self._mq9.events(self.address, messages=messages)


class Status(Mailbox[T]):
    """A mailbox that holds the latest message only. While its block runs, the mailbox is there."""

    async def set(self, body: object, **options: "Unpack[SendOptions]") -> Sent:
        """Replace what the status says."""
        return await self.send(body, **options)
