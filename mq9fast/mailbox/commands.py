"""Runs the mailbox commands CREATE and LIST: decodes the request, and answers with JSON.

The core calls `Commands` for each message to a subject under `$mq9.AI.MAILBOX` that is not MSG or DELETE;
these two are in `_core/mailbox_writer.pyx`. A reply is sent when the commit group of its request is durable,
so it never reports a change that could still be lost.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, NamedTuple

import msgspec

from mq9fast._core.commit.accumulator import Accumulator
from mq9fast._core.protocol.address import MSG_PREFIX, is_address
from mq9fast._core.pubsub.client import Client, PendingWork
from mq9fast._core.pubsub.router import Router
from mq9fast.errors import CommandError
from mq9fast.mailbox.address import check_address
from mq9fast.mailbox.board import Board, BoardRequest
from mq9fast.mailbox.lifecycle import Mailboxes
from mq9fast.mailbox.listing import Listing, ListRequest
from mq9fast.mailbox.options import OptionFields, show

# One commit group answers LIST requests with about this much, but at least one. The other requests wait for
# the next group, so that LIST neither delays other clients nor fills the memory.
MAX_LIST_BYTES = 64 << 10
# About how much memory a waiting LIST request takes.
LIST_REQUEST_BYTES = 1024

MAY_NOT_NAME = "Only a client that may send to this mailbox, or subscribe to all of it, may name it here."

MAX_TTL_SECONDS = 100 * 366 * 86400


class CreateRequest(OptionFields, frozen=True):
    """The request of CREATE (docs/protocol.md). Every field may be missing."""

    ttl: Annotated[int, msgspec.Meta(ge=0, le=MAX_TTL_SECONDS)] | None = None
    public: bool = False
    name: str | None = None
    prefix: str | None = None
    desc: Annotated[str, msgspec.Meta(max_length=4096)] | None = None


class Command(NamedTuple):
    """A command: the type of its request, and the function `run(tail, request, client, reply)`.

    `tail`: the subject after the verb and a dot, "" if the command has none. `client`: who sent the request.
    `reply`: the reply subject.
    """

    request: type[msgspec.Struct]
    run: Callable[[bytes, msgspec.Struct, Client, bytes], None]


class Commands:
    """The table of commands of one broker. `may_read()`: see `Syncer`."""

    def __init__(
        self,
        pending_work: PendingWork,
        accumulator: Accumulator,
        router: Router,
        mailboxes: Mailboxes,
        listing: Listing,
        board: Board,
        may_read: Callable[[], bool] = lambda: True,
    ) -> None:
        self._pending_work = pending_work
        self._accumulator = accumulator
        self._router = router
        self._mailboxes = mailboxes
        self._listing = listing
        self._board = board
        self._may_read = may_read
        self._listed_group = 0
        self._listed_bytes = 0
        # By the verb, and the dot behind it.
        self._table = {
            (b"CREATE", b""): Command(CreateRequest, self._create),
            (b"LIST", b"."): Command(ListRequest, self._list),
            (b"LIST", b""): Command(BoardRequest, self._list_board),
        }

    def __call__(self, rest: bytes, payload: bytes, client: Client, reply: bytes) -> None:
        """Run a command of `client`. `rest`: the subject after `$mq9.AI.MAILBOX.`. Errors are sent as
        replies."""
        verb, dot, tail = rest.partition(b".")
        try:
            command = self._table.get((verb, dot))
            if command is None:
                raise CommandError("unknown_command")
            command.run(tail, _decode(payload, command.request), client, reply)
        except CommandError as error:
            self._accumulator.group.answer(client, reply, error.reply())

    def _create(self, _tail: bytes, request: msgspec.Struct, client: Client, reply: bytes) -> None:
        assert isinstance(request, CreateRequest)
        if request.name is not None and request.prefix is not None:
            raise CommandError(
                "bad_request", "'name' is the whole address: 'prefix' cannot be given as well."
            )
        if request.public and request.name is None:
            raise CommandError("bad_request", "A public mailbox needs a 'name'.")
        self._check_named(client, request)
        mailbox, is_new = self._mailboxes.create(
            name=request.name,
            prefix=request.prefix,
            public=request.public,
            ttl=request.ttl,
            description=request.desc,
            options=request,
            may_change=partial(_may_read_all, client),
        )
        body: dict[str, object] = {"mail_address": mailbox.address.decode(), "is_new": is_new}
        if request.are_given:
            body["options"] = show(mailbox.options)
        self._accumulator.group.answer(client, reply, msgspec.json.encode(body))

    def _check_named(self, client: Client, request: CreateRequest) -> None:
        """Raise CommandError unless the client may name the mailboxes in the options of a CREATE."""
        if request.receipts_to and not _may_name(client, check_address(request.receipts_to)):
            raise CommandError("permission_denied", MAY_NOT_NAME)
        if request.dead_letter:
            _check_target(client, "dead_letter", request.dead_letter, request.name)

    def _list(self, tail: bytes, request: msgspec.Struct, client: Client, reply: bytes) -> None:
        assert isinstance(request, ListRequest)
        address = check_address(tail.decode("utf-8", "replace"))
        self._answer_with_page(client, reply, self._listing, partial(self._listing.page, address, request))

    def _list_board(self, _tail: bytes, request: msgspec.Struct, client: Client, reply: bytes) -> None:
        assert isinstance(request, BoardRequest)
        self._answer_with_page(client, reply, self._board, partial(self._board.page, client, request))

    def _answer_with_page(
        self, client: Client, reply: bytes, reader: Listing | Board, make_page: Callable[[], bytes]
    ) -> None:
        """Answer with a page that `reader` makes once the commit group is durable."""

        def answer(durable: bool) -> None:
            if client.closing:
                return
            if not durable and not self._may_read():
                # Another node owns the mailboxes now, perhaps.
                self._router.reply(client, reply, CommandError("store_unavailable").reply())
                return
            if self._accumulator.group_number != self._listed_group:
                self._listed_group, self._listed_bytes = self._accumulator.group_number, 0
            if self._listed_bytes >= MAX_LIST_BYTES:
                self._accumulator.group.defer(answer, LIST_REQUEST_BYTES)
                self._pending_work.schedule_end()
                return
            read_bytes = reader.read_bytes
            try:
                body = make_page()
            except CommandError as error:
                body = error.reply()
            self._listed_bytes += max(len(body), reader.read_bytes - read_bytes)
            self._router.reply(client, reply, body)

        self._accumulator.group.defer(answer, LIST_REQUEST_BYTES)


def _check_target(client: Client, field: str, address: str, own: str | None) -> None:
    """Check the mailbox that a field of CREATE names. Raises CommandError bad_request, or permission_denied
    if the client may neither send to it nor subscribe to it."""
    if not is_address(address.encode()):
        raise CommandError("bad_request", f"'{field}' is not a mail_address.")
    if address == own:
        raise CommandError("bad_request", f"'{field}' may not be the mailbox itself.")
    if not _may_name(client, address.encode()):
        raise CommandError("permission_denied", MAY_NOT_NAME)


def _may_read_all(client: Client, address: bytes) -> bool:
    """Whether the client may subscribe to all of a mailbox."""
    return client.may_subscribe(f"{MSG_PREFIX}{address.decode()}.*".encode())


def _may_name(client: Client, address: bytes) -> bool:
    """Whether the client may name a mailbox as a place for messages of the broker: it may send to it or read
    all of it."""
    subject = MSG_PREFIX.encode() + address
    return client.may_publish(subject) or client.may_subscribe(subject)


def _decode(payload: bytes, request: type[msgspec.Struct]) -> msgspec.Struct:
    """Decode a request. An empty payload, or white space, is a request without fields."""
    if not payload.strip():
        return request()
    try:
        return msgspec.json.decode(payload, type=request)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommandError("bad_request", f"The request is not valid for this command: {error}.") from None
