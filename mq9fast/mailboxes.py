"""Living mailboxes: made, renewed, expired; and the messages of the ended, dropped off the hot path."""

from collections import deque
from functools import partial
from typing import NamedTuple

from mq9fast._core.delivery import Delivery
from mq9fast._core.intake import Intake
from mq9fast._core.mailbox import Directory, Mailbox
from mq9fast.address import check_address, generate_address
from mq9fast.errors import CommandError, StoreError
from mq9fast.store import record
from mq9fast.store.base import Store

EXPIRED_PER_TURN = 1000
PURGED_PER_TURN = 64
# Below these a mailbox is dropped key by key: range tombstones are cheap to write and dear to read across.
PURGE_BY_KEY_MESSAGES = 64
PURGE_BY_KEY_BYTES = 256 << 10


class Ended(NamedTuple):
    """A life that is over, and what of it is still in the store."""

    address: bytes
    uid: int
    messages: int
    size_bytes: int


class Mailboxes:
    """The mailboxes of one broker. Every change goes into the intake's turn and is durable when that is."""

    def __init__(
        self, directory: Directory, delivery: Delivery, intake: Intake, store: Store, *, most_mailboxes: int
    ) -> None:
        self.directory = directory
        self._delivery = delivery
        self._intake = intake
        self._store = store
        self.most_mailboxes = most_mailboxes
        self._purges: deque[Ended] = deque()
        self._unforgotten: list[Ended] = []
        self.over_limit = 0
        self.expired = 0

    def load(self) -> None:
        """Take over what is stored. Mailboxes whose deadline passed meanwhile expire in the first turns."""
        stored = self._store.get(record.NEXT_UID_KEY)
        directory = self.directory
        directory.reserve_uids(0 if stored is None else int.from_bytes(stored, "big"))
        directory.load(self._store.scan(record.MAILBOXES, record.after_all(record.MAILBOXES)))
        for key, value in self._store.scan(record.PURGES, record.after_all(record.PURGES)):
            uid = int.from_bytes(key[1:], "big")
            directory.reserve_uids(uid + 1)
            count, size = int.from_bytes(value[:8], "big"), int.from_bytes(value[8:], "big")
            self._purges.append(Ended(b"", uid, count, size))

    def create(
        self,
        *,
        name: str | None = None,
        prefix: str | None = None,
        public: bool = False,
        ttl: int | None = None,
        description: str | None = None,
    ) -> tuple[bytes, bool]:
        """Create or renew a mailbox; returns its address and whether it is new. `ttl`: seconds, 0 = never.

        Raises CommandError invalid_address, mailbox_conflict, limit_exceeded or store_unavailable.
        """
        if self._intake.failed:
            raise CommandError("store_unavailable")
        address = generate_address(prefix) if name is None else check_address(name)
        mailbox = self.directory.get(address)
        is_new = mailbox is None
        if mailbox is None:
            mailbox = self._open(address, public)
        elif mailbox.public != public:
            raise CommandError("mailbox_conflict")
        text = None if description is None else description.encode()
        self.directory.renew(mailbox, ttl, text)
        self._intake.turn.touch_mailbox(mailbox)
        return address, is_new

    def auto_create(self, address: bytes) -> Mailbox | None:
        """Make a private mailbox without TTL for the first MSG to a valid address; None past the limit."""
        try:
            mailbox = self._open(address, public=False)
        except CommandError:
            return None
        self.directory.renew(mailbox)
        self._intake.turn.touch_mailbox(mailbox)
        return mailbox

    def _open(self, address: bytes, public: bool) -> Mailbox:
        expired = self.directory.get_expired(address)
        if expired is not None:
            self._end(expired)
        if self.most_mailboxes and self.directory.live_count >= self.most_mailboxes and not self._end_one():
            self.over_limit += 1
            raise CommandError("limit_exceeded")
        mailbox = self.directory.open(address, public)
        self._intake.turn.put_raw(record.NEXT_UID_KEY, record.number(self.directory.next_uid))
        self._delivery.restart(mailbox)
        return mailbox

    def expire_due(self) -> bool:
        """End what is past its deadline, some of it per call; whether there may be more.

        Nobody sees such a mailbox from its deadline on; this is when its place is given up. The cost does not
        depend on its messages, which `purge_some` drops.
        """
        if self._intake.failed:
            return False
        unforgotten, self._unforgotten = self._unforgotten, []
        for ended in unforgotten:
            self._forget(ended)
        due = self.directory.take_due(EXPIRED_PER_TURN)
        for mailbox in due:
            self._end(mailbox)
        return len(due) == EXPIRED_PER_TURN

    def _end_one(self) -> bool:
        """End one mailbox that is past its deadline, which makes room for another; false if there is none."""
        due = self.directory.take_due(1)
        for mailbox in due:
            self._end(mailbox)
        return bool(due)

    def _end(self, mailbox: Mailbox) -> None:
        ended = Ended(mailbox.address, mailbox.uid, mailbox.total_count, mailbox.size_bytes)
        self.directory.end(mailbox)
        self._delivery.restart(mailbox)
        self._forget(ended)
        self.expired += 1

    def _forget(self, ended: Ended) -> None:
        """Put the end of a mailbox into the turn; at the next tick again, if that turn fails."""
        turn = self._intake.turn
        if self.directory.get(ended.address) is None:
            turn.delete_raw(record.mailbox_key(ended.address))
        if ended.messages:
            turn.put_raw(
                record.purge_key(ended.uid), record.number(ended.messages) + record.number(ended.size_bytes)
            )
        turn.defer(partial(self._forgotten, ended))

    def _forgotten(self, ended: Ended, durable: bool) -> None:
        if not durable:
            # Not into the turn that fails: it is let go with whatever is put into it now.
            self._unforgotten.append(ended)
        elif ended.messages:
            self._purges.append(ended)

    def purge_some(self) -> bool:
        """Drop the messages of a few ended mailboxes; whether there are more.

        Raises StoreError if those of one could not be read; its turn comes again after the others.
        """
        if self._intake.failed:
            return False
        for _ in range(min(len(self._purges), PURGED_PER_TURN)):
            ended = self._purges.popleft()
            try:
                self._purge(ended)
            except StoreError:
                self._purges.append(ended)
                raise
        return bool(self._purges)

    def _purge(self, ended: Ended) -> None:
        turn = self._intake.turn
        first, end = record.messages_of(ended.uid)
        if ended.messages <= PURGE_BY_KEY_MESSAGES and ended.size_bytes <= PURGE_BY_KEY_BYTES:
            for key, _ in self._store.scan(first, end):
                turn.delete_raw(key)
        else:
            turn.delete_range(first, end)
        turn.delete_raw(record.purge_key(ended.uid))
        turn.defer(partial(self._purged, ended))

    def _purged(self, ended: Ended, durable: bool) -> None:
        if not durable:
            self._purges.append(ended)
