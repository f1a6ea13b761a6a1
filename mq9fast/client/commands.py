"""The four commands of docs/protocol.md, each as a method."""

import difflib
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from mq9fast.client import tracing
from mq9fast.client.body import check_answer, encode
from mq9fast.client.errors import BadRequest, MessageNotFound, Mq9Error
from mq9fast.client.names import check_address
from mq9fast.client.options import MailboxOptions, headers_of
from mq9fast.client.replies import (
    BoardPage,
    Created,
    ListedMessage,
    MailboxInfo,
    Page,
    PublicMailbox,
    Sent,
    Settled,
    read_reply,
)
from mq9fast.client.transport import Transport

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from mq9fast.client.options import SendOptions

CREATE = "$mq9.AI.MAILBOX.CREATE"
DELETE = "$mq9.AI.MAILBOX.DELETE."
MSG = "$mq9.AI.MAILBOX.MSG."
LIST = "$mq9.AI.MAILBOX.LIST."
BOARD = "$mq9.AI.MAILBOX.LIST"
MSG_ID = "Nats-Msg-Id"


class Commands:
    """All methods raise subclasses of Mq9Error."""

    def __init__(self, transport: Transport, timeout: float) -> None:
        self._transport = transport
        self.timeout = timeout

    async def create(
        self,
        name: str | None = None,
        *,
        prefix: str | None = None,
        public: bool | None = None,
        ttl: int | None = None,
        desc: str | None = None,
        **options: "Unpack[MailboxOptions]",
    ) -> Created:
        """CREATE: create a mailbox, or renew it and change what is given. No `name`: a generated address."""
        given = {"name": name, "prefix": prefix, "public": public, "ttl": ttl, "desc": desc, **options}
        fields = {field: value for field, value in given.items() if value is not None}
        _check_names(options)
        created = read_reply(await self._command(CREATE, fields), Created)
        if options and created.options is None:
            raise Mq9Error(f"The broker is too old for these options: {', '.join(sorted(options))}.")
        return created

    async def send(self, to: str, body: object, **options: "Unpack[SendOptions]") -> Sent:
        """MSG: store a message in a mailbox. Returns when it is as durable as the broker's `--sync` says.

        With `id`, it is sent again if the connection is lost meanwhile; the mailbox stores it once. In a
        cluster the client gives an id to each message that has none, for the same.
        """
        priority = options.get("priority", "normal")
        subject = MSG + check_address(to) + ("" if priority == "normal" else f".{priority}")
        headers = headers_of(options)
        own_id = self._transport.in_cluster and not any(name.lower() == MSG_ID.lower() for name in headers)
        if own_id:
            headers[MSG_ID] = self._transport.new_id()
        with tracing.sending(to, headers):
            reply = await self._transport.request(
                subject, encode(body), self.timeout, headers or None, again=own_id or "id" in options
            )
        sent = read_reply(reply, Sent)
        return msgspec.structs.replace(sent, duplicate=False) if own_id else sent

    async def delete(self, address: str, msg_id: int) -> bool:
        """DELETE: whether the message was there."""
        reply = await self._transport.request(
            f"{DELETE}{check_address(address)}.{msg_id}", b"", self.timeout, again=True
        )
        return read_reply(reply, Settled).deleted

    async def reply(self, address: str, msg_id: int, body: object) -> Settled:
        """DELETE with a body: answer a message that was listed. See `Message.reply`."""
        answer = check_answer(encode(body))
        reply = await self._transport.request(
            f"{DELETE}{check_address(address)}.{msg_id}", answer, self.timeout, again=True
        )
        return read_reply(reply, Settled)

    async def page(self, address: str, /, **fields: object) -> Page:
        """LIST: one page. `fields`: as in docs/protocol.md, such as limit, cursor, priority, key, msg_id."""
        return read_reply(await self._command(LIST + check_address(address), fields), Page)

    async def list(
        self, address: str, *, newest_first: bool = False, meta_only: bool = False, limit: int | None = None
    ) -> AsyncIterator[ListedMessage]:
        """LIST: all messages, page after page. `limit`: at most so many."""
        fields: dict[str, object] = {"meta_only": meta_only}
        if newest_first:
            fields["order"] = "newest"
        while True:
            page = await self.page(address, **fields, **({} if limit is None else {"limit": limit}))
            for message in page.messages:
                yield message
            if limit is not None:
                limit -= len(page.messages)
            if page.next is None or limit == 0:
                return
            fields["cursor"] = page.next

    async def get(self, address: str, msg_id: int | None = None, *, key: str | None = None) -> ListedMessage:
        """LIST: one message, by its number or its key; without both, the newest. Raises MessageNotFound."""
        which: dict[str, object] = {"limit": 1, "order": "newest"}
        if key is not None:
            which = {"key": key}
        elif msg_id is not None:
            which = {"msg_id": msg_id}
        page = await self.page(address, **which)
        if not page.messages:
            raise MessageNotFound(f"The mailbox {address} has no such message.")
        return page.messages[0]

    async def info(self, address: str) -> MailboxInfo:
        """LIST: what is known of a mailbox, without its messages."""
        page = await self.page(address, limit=1, meta_only=True)
        if page.mailbox is None:
            raise Mq9Error("The broker says nothing of the mailbox: it is older than this client.")
        return msgspec.structs.replace(page.mailbox, total=page.total)

    async def find(
        self, prefix: str = "", *, need: str = "", with_latest: bool = False
    ) -> AsyncIterator[PublicMailbox]:
        """LIST: the public mailboxes whose address begins with `prefix`.

        `need`: only those that have each of these words in their address or description.
        """
        words = need.lower().split()
        fields: dict[str, object] = {"prefix": prefix, "with_latest": with_latest}
        while True:
            page = read_reply(await self._command(BOARD, fields), BoardPage)
            for mailbox in page.mailboxes:
                text = f"{mailbox.mail_address} {mailbox.desc}".lower()
                if all(word in text for word in words):
                    yield mailbox
            if page.next is None:
                return
            fields["cursor"] = page.next

    async def _command(self, subject: str, fields: Mapping[str, object]) -> bytes:
        return await self._transport.request(subject, msgspec.json.encode(fields), self.timeout, again=True)


def _check_names(options: Mapping[str, object]) -> None:
    """The broker ignores fields that it does not know. Raises BadRequest for an option that is misspelt."""
    for name in options.keys() - MailboxOptions.__annotations__.keys():
        near = difflib.get_close_matches(name, MailboxOptions.__annotations__, 1)
        raise BadRequest(f"There is no option '{name}'" + (f": did you mean '{near[0]}'?" if near else "."))
