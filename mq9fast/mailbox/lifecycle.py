"""Living mailboxes: made, renewed, expired."""

import time
from functools import partial
from typing import NamedTuple

from mq9fast._core.base.limits import Limits
from mq9fast._core.commit.accumulator import Accumulator
from mq9fast._core.delivery.delivery import Delivery
from mq9fast._core.mailbox.mailbox import Mailbox, MailboxIndex
from mq9fast._core.mailbox.uid_set import UidSet
from mq9fast.errors import CommandError
from mq9fast.mailbox.address import check_address, generate_address
from mq9fast.mailbox.leftovers import Leftovers
from mq9fast.mailbox.purges import ANY_MESSAGES, Purge, Purges
from mq9fast.storage import layout as record
from mq9fast.storage.store import Store

EXPIRED_AT_ONCE = 16
# How long mailboxes are ended in one turn of the event loop.
EXPIRY_SECONDS = 0.002


class Ended(NamedTuple):
    """A life that is over, and what of it is still in the store."""

    address: bytes
    purge: Purge


class Mailboxes:
    """The mailboxes of one broker. Every change goes into the intake's turn and is durable when that is."""

    def __init__(
        self,
        mailbox_index: MailboxIndex,
        delivery: Delivery,
        accumulator: Accumulator,
        store: Store,
        limits: Limits,
    ) -> None:
        self.mailbox_index = mailbox_index
        self._delivery = delivery
        self._accumulator = accumulator
        self._store = store
        self._limits = limits
        self.purges = Purges(accumulator, store)
        self._leftovers: Leftovers | None = None
        self._unforgotten: list[Ended] = []
        self.over_limit = 0
        self.expired = 0

    def load(self, *, accept_loss: bool) -> int:
        """Take over what is stored. Mailboxes whose deadline passed meanwhile expire in the first turns.

        Returns how many are missing, which `accept_loss` allows. Raises StoreError or CorruptRecord,
        and nothing was written then.
        """
        store, mailbox_index = self._store, self.mailbox_index
        owned = None if record.is_settled(store) else UidSet()
        stored = store.get(record.NEXT_UID_KEY)
        mailbox_index.reserve_uids(0 if stored is None else int.from_bytes(stored[:8], "big"))
        mailbox_index.load(store.scan(record.MAILBOXES, record.after_all(record.MAILBOXES)), owned)
        for uid in self.purges.load():
            mailbox_index.reserve_uids(uid + 1)
            if owned is not None:
                owned.add(uid)
        self._reserve_used_uids()
        made = 0 if stored is None else int.from_bytes(stored[8:], "big")
        mailbox_index.jump_uids(min(made, record.MAX_JUMPS))
        missing = record.check_count(store, mailbox_index.live_count, accept_loss=accept_loss)
        mailbox_index.jump_ids(min(record.stored_jumps(store), record.MAX_JUMPS))
        if owned is None:
            record.unsettle(store)
        else:
            self._leftovers = Leftovers(store, owned, mailbox_index.next_uid, self._drop)
        return missing

    def _reserve_used_uids(self) -> None:
        """Give no uid under which there are messages already, whatever the store says of uids."""
        end = record.after_all(record.MESSAGES)
        while row := next(self._store.scan(record.messages_of(self.mailbox_index.next_uid)[0], end), None):
            self.mailbox_index.reserve_uids(record.uid_of(row[0]) + 1)

    def _drop(self, uid: int) -> None:
        purge = Purge(uid, ANY_MESSAGES, 0)
        self.purges.put(purge)
        self.purges.add(purge)

    def drop_leftovers(self) -> bool:
        """Look for messages whose mailbox is gone, some at a time; whether there is more to do."""
        return self._leftovers is not None and self._leftovers.look()

    def settle(self) -> None:
        """Note in the last turn of a broker that stops that each row of the store has its owner, if so."""
        leftovers = self._leftovers
        # What was found has no row that says it is to be dropped if writing that failed.
        looked = leftovers is None or (leftovers.done and not self.purges)
        if looked and not self._unforgotten and not self._accumulator.store_failed:
            self._accumulator.group.put_raw(record.SETTLED_KEY, b"")

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
        if self._accumulator.store_failed:
            raise CommandError("store_unavailable")
        address = generate_address(prefix) if name is None else check_address(name)
        text = None if description is None else description.encode()
        mailbox = self.mailbox_index.get(address)
        is_new = mailbox is None
        if mailbox is None:
            mailbox = self._open(address, public)
        elif mailbox.public != public:
            raise CommandError("mailbox_conflict")
        self.mailbox_index.renew(mailbox, ttl, text)
        self._accumulator.group.touch_mailbox(mailbox)
        return address, is_new

    def auto_create(self, address: bytes) -> Mailbox | None:
        """Make a private mailbox without TTL for the first MSG to a valid address; None past the limit."""
        try:
            mailbox = self._open(address, public=False)
        except CommandError:
            return None
        self.mailbox_index.renew(mailbox)
        self._accumulator.group.touch_mailbox(mailbox)
        return mailbox

    def _open(self, address: bytes, public: bool) -> Mailbox:
        expired = self.mailbox_index.get_expired(address)
        if expired is not None:
            self._end(expired)
        # The record of an earlier life is overwritten: what else it left is noted in the same batch.
        self._forget_again()
        limit = self._limits.max_mailboxes
        if limit and self.mailbox_index.live_count >= limit and not self._end_one():
            self.over_limit += 1
            raise CommandError("limit_exceeded")
        mailbox = self.mailbox_index.open(address, public)
        self._accumulator.group.put_raw(
            record.NEXT_UID_KEY,
            record.number(self.mailbox_index.next_uid) + record.number(self.mailbox_index.jumps),
        )
        self._put_count()
        self._delivery.restart(mailbox)
        return mailbox

    def expire_due(self) -> bool:
        """End what is past its deadline, some of it per call; whether there may be more.

        Nobody sees such a mailbox from its deadline on; this is when its place is given up. The cost does not
        depend on its messages, which `purges` drops.
        """
        if self._accumulator.store_failed:
            return False
        self._forget_again()
        end = time.perf_counter() + EXPIRY_SECONDS
        while True:
            due = self.mailbox_index.take_due(EXPIRED_AT_ONCE)
            for mailbox in due:
                self._end(mailbox)
            if len(due) < EXPIRED_AT_ONCE:
                return False
            if time.perf_counter() >= end:
                return True

    def _end_one(self) -> bool:
        """End one mailbox that is past its deadline, which makes room for another; false if there is none."""
        due = self.mailbox_index.take_due(1)
        for mailbox in due:
            self._end(mailbox)
        return bool(due)

    def _end(self, mailbox: Mailbox) -> None:
        ended = Ended(mailbox.address, Purge(mailbox.uid, mailbox.total_count, mailbox.size_bytes))
        self.mailbox_index.end(mailbox)
        self._delivery.restart(mailbox)
        self._forget(ended)
        self._put_count()
        self.expired += 1

    def _put_count(self) -> None:
        """Store with this batch how many mailbox records there are at least."""
        self._accumulator.group.put_raw(record.COUNT_KEY, record.number(self.mailbox_index.live_count))

    def _forget(self, ended: Ended) -> None:
        """Put the end of a mailbox into the turn; at the next tick again, if that turn fails."""
        commit_group, mailbox_index = self._accumulator.group, self.mailbox_index
        if mailbox_index.get(ended.address) is None and mailbox_index.get_expired(ended.address) is None:
            commit_group.delete_raw(record.mailbox_key(ended.address))
        if ended.purge.messages:
            self.purges.put(ended.purge)
        commit_group.defer(partial(self._forgotten, ended))

    def _forget_again(self) -> None:
        """Put into the turn what failed before."""
        if self._unforgotten:
            unforgotten, self._unforgotten = self._unforgotten, []
            for ended in unforgotten:
                self._forget(ended)
            self._put_count()

    def _forgotten(self, ended: Ended, durable: bool) -> None:
        if not durable:
            # Not into the turn that fails: it is let go with whatever is put into it now. What it deleted of
            # the mailbox may be there again.
            purge = ended.purge._replace(messages=ANY_MESSAGES)
            self._unforgotten.append(ended._replace(purge=purge))
        elif ended.purge.messages:
            self.purges.add(ended.purge)
