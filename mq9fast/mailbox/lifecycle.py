"""Loads, creates, renews and expires mailboxes, and purges orphaned messages.

`mailbox/commands.py` calls `create`, `_core/mailbox_writer.pyx` calls `auto_create`, and
`server/housekeeping.py` calls `expire_due`. All changes go into the current commit group, and are durable
when it is.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from mq9fast._core.base.limits import Limits
from mq9fast._core.commit.accumulator import Accumulator
from mq9fast._core.delivery.delivery import Delivery
from mq9fast._core.ended_messages import EndedMessages
from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast._core.mailbox.mailbox_index import MailboxIndex
from mq9fast._core.mailbox.options import MailboxOptions
from mq9fast._core.mailbox.uid_set import UidSet
from mq9fast._core.storage.record import CorruptRecord
from mq9fast.errors import CommandError
from mq9fast.mailbox.address import check_address, generate_address
from mq9fast.mailbox.options import OptionFields
from mq9fast.mailbox.orphans import OrphanSearch
from mq9fast.mailbox.purges import ANY_MESSAGES, Purge, Purges
from mq9fast.storage import layout
from mq9fast.storage.store import Store

MAY_NOT_CHANGE = "Only a client that may subscribe to all of this mailbox may change it."
# One call of `expire_due` runs for about this long.
EXPIRY_SECONDS = 0.002
# It looks at the clock each time that it has ended this many mailboxes.
EXPIRY_BATCH = 16


class EndedMailbox(NamedTuple):
    """A mailbox that has expired, and its messages that are still in the store."""

    address: bytes
    purge: Purge


def _changes(
    mailbox: Mailbox, ttl: int | None, description: bytes | None, options: MailboxOptions | None
) -> bool:
    """Whether a CREATE with these values, None where it gives none, would change the mailbox."""
    before, after = (None if each is None else each.packed for each in (mailbox.options, options))
    return (
        (ttl is not None and ttl != mailbox.ttl_seconds)
        or (description is not None and description != (mailbox.description or b""))
        or before != after
    )


class Mailboxes:
    """The mailboxes of one broker.

    `over_limit`: how often `max_mailboxes` was exceeded. `expired`: how many mailboxes have expired.
    """

    def __init__(
        self,
        mailbox_index: MailboxIndex,
        delivery: Delivery,
        accumulator: Accumulator,
        store: Store,
        limits: Limits,
        ended_messages: EndedMessages,
    ) -> None:
        self.mailbox_index = mailbox_index
        self._delivery = delivery
        self._accumulator = accumulator
        self._store = store
        self._limits = limits
        self.purges = Purges(accumulator, store, ended_messages)
        self._orphan_search: OrphanSearch | None = None
        self._failed_ends: list[EndedMailbox] = []
        self.over_limit = 0
        self.expired = 0

    def load(self, *, accept_loss: bool) -> int:
        """Load the mailboxes of the store into memory. Those past their deadline expire in the first turns.

        Returns how many mailboxes are missing, which is an error unless `accept_loss`. Raises StoreError or
        CorruptRecord, and has written nothing then.
        """
        store, mailbox_index = self._store, self.mailbox_index
        owned = None if layout.has_no_orphans(store) else UidSet()
        stored = store.get(layout.NEXT_UID_KEY)
        mailbox_index.reserve_uids(0 if stored is None else int.from_bytes(stored[:8], "big"))
        mailbox_index.load(store.scan(layout.MAILBOXES, layout.prefix_end(layout.MAILBOXES)), owned)
        for uid in self.purges.load():
            mailbox_index.reserve_uids(uid + 1)
            if owned is not None:
                owned.add(uid)
        self._reserve_used_uids()
        # A start begins a new id epoch if ids may have been lost. If the next uid was stored in an earlier
        # epoch, the uids that may have been lost since then are skipped.
        uid_epoch = 0 if stored is None else int.from_bytes(stored[8:], "big")
        mailbox_index.skip_uids(min(uid_epoch, layout.MAX_ID_EPOCH))
        # If mailboxes are missing, `check_count` begins a new epoch in the store: a mailbox that is created
        # again then gives higher ids than the missing one did.
        missing = layout.check_count(store, mailbox_index.live_count, accept_loss=accept_loss)
        mailbox_index.raise_id_epoch(min(layout.stored_id_epoch(store), layout.MAX_ID_EPOCH))
        if owned is None:
            layout.clear_no_orphans(store)
        else:
            self._orphan_search = OrphanSearch(store, owned, mailbox_index.next_uid, self._purge_orphan)
        return missing

    def _reserve_used_uids(self) -> None:
        """Reserve every uid that has messages in the store, even if the stored next uid is too small.

        Raises CorruptRecord for a key that no broker writes."""
        end = layout.prefix_end(layout.MESSAGES)
        while row := next(
            self._store.scan_stored(layout.messages_of(self.mailbox_index.next_uid)[0], end), None
        ):
            uid = layout.uid_of(row[0])
            if len(row[0]) < layout.MIN_MESSAGE_KEY_BYTES or uid == layout.LARGEST_UID:
                raise CorruptRecord(f"a key of {len(row[0])} bytes is not that of a message")
            self.mailbox_index.reserve_uids(uid + 1)

    def _purge_orphan(self, uid: int) -> None:
        purge = Purge(uid, ANY_MESSAGES, 0)
        self.purges.put_row(purge)
        self.purges.schedule(purge)

    def purge_orphans(self) -> bool:
        """Search for orphaned messages for a short time, and purge them. Returns whether there is more to
        do."""
        return self._orphan_search is not None and self._orphan_search.search_some()

    def record_no_orphans(self) -> None:
        """Record that the store has no orphaned messages, if that is so. Called before the last commit group.

        The next start then does not search for any.
        """
        search = self._orphan_search
        # A purge that is still waiting may have no row in the store, because the write of the row failed.
        has_no_orphans = search is None or (search.done and not self.purges)
        if has_no_orphans and not self._failed_ends and not self._accumulator.store_failed:
            self._accumulator.group.put_raw(layout.NO_ORPHANS_KEY, b"")

    def create(
        self,
        *,
        name: str | None = None,
        prefix: str | None = None,
        public: bool = False,
        ttl: int | None = None,
        description: str | None = None,
        options: OptionFields,
        may_change: Callable[[bytes], bool],
    ) -> tuple[Mailbox, bool]:
        """Create or renew a mailbox; returns it, and whether it is new.

        `ttl`: seconds, 0 for never; None keeps that of an existing mailbox. `description` and `options`:
        likewise. `may_change(address)`: whether the client may change an existing mailbox. Raises
        CommandError invalid_address, mailbox_conflict, permission_denied, limit_exceeded or
        store_unavailable.
        """
        if self._accumulator.store_failed:
            raise CommandError("store_unavailable")
        address = generate_address(prefix) if name is None else check_address(name)
        text = None if description is None else description.encode()
        mailbox = self.mailbox_index.get(address)
        changed = options.change(None if mailbox is None else mailbox.options)
        is_new = mailbox is None
        if mailbox is None:
            mailbox = self._create(address, public)
        elif mailbox.public != public:
            raise CommandError("mailbox_conflict")
        elif _changes(mailbox, ttl, text, changed) and not may_change(address):
            raise CommandError("permission_denied", MAY_NOT_CHANGE)
        self.mailbox_index.renew(mailbox, ttl, text)
        if changed is not mailbox.options:
            self.mailbox_index.set_options(mailbox, changed)
            self._delivery.options_changed(mailbox)
        self._accumulator.group.touch_mailbox(mailbox)
        return mailbox, is_new

    def auto_create(self, address: bytes) -> Mailbox | None:
        """Create a private mailbox without TTL for the first MSG to a valid address; None past the limit."""
        try:
            mailbox = self._create(address, public=False)
        except CommandError:
            return None
        self.mailbox_index.renew(mailbox)
        self._accumulator.group.touch_mailbox(mailbox)
        return mailbox

    def _create(self, address: bytes, public: bool) -> Mailbox:
        expired = self.mailbox_index.get_expired(address)
        if expired is not None:
            self._end(expired)
        # The new record replaces that of an earlier mailbox with this address. If the end of that mailbox was
        # not committed yet, its purge must be in the same batch.
        self._retry_failed_ends()
        limit = self._limits.max_mailboxes
        if limit and self.mailbox_index.live_count >= limit and not self._end_one_due():
            self.over_limit += 1
            raise CommandError("limit_exceeded")
        mailbox = self.mailbox_index.create(address, public)
        self._accumulator.group.put_raw(
            layout.NEXT_UID_KEY,
            layout.number(self.mailbox_index.next_uid) + layout.number(self.mailbox_index.id_epoch),
        )
        self._put_count()
        self._delivery.restart(mailbox)
        self._delivery.events.created(mailbox)
        return mailbox

    def expire_due(self) -> bool:
        """End mailboxes that are past their deadline, for a short time. Returns whether there may be more.

        Clients do not see a mailbox from its deadline on; this call removes it. That costs the same however
        many messages it has, because `purges` deletes them later.
        """
        if self._accumulator.store_failed:
            return False
        self._retry_failed_ends()
        end = time.perf_counter() + EXPIRY_SECONDS
        while True:
            due = self.mailbox_index.pop_due(EXPIRY_BATCH)
            for mailbox in due:
                self._end(mailbox)
            if len(due) < EXPIRY_BATCH:
                return False
            if time.perf_counter() >= end:
                return True

    def _end_one_due(self) -> bool:
        """End one mailbox that is past its deadline, so that another can be created. False if there is
        none."""
        due = self.mailbox_index.pop_due(1)
        for mailbox in due:
            self._end(mailbox)
        return bool(due)

    def _end(self, mailbox: Mailbox) -> None:
        rows = mailbox.total_count + mailbox.max_other_rows
        purge = Purge(mailbox.uid, rows, mailbox.size_bytes)
        options = mailbox.options
        receipts_to = b"" if options is None else options.receipts_to
        dead_letter = b""
        if options is not None and options.dead_letter_expired:
            dead_letter = options.dead_letter or b""
        if receipts_to or dead_letter or mailbox.has_receipts:
            purge = purge._replace(address=mailbox.address, receipts_to=receipts_to, dead_letter=dead_letter)
        ended = EndedMailbox(mailbox.address, purge)
        self.mailbox_index.end(mailbox)
        self._delivery.restart(mailbox)
        self._commit_end(ended)
        self._put_count()
        self.expired += 1

    def _put_count(self) -> None:
        """Add to the commit group the number of mailbox records, which a start compares with what it
        finds."""
        self._accumulator.group.put_raw(layout.COUNT_KEY, layout.number(self.mailbox_index.live_count))

    def _commit_end(self, ended: EndedMailbox) -> None:
        """Add the end of a mailbox to the commit group. If that fails, the next tick tries again."""
        commit_group, mailbox_index = self._accumulator.group, self.mailbox_index
        if mailbox_index.get(ended.address) is None and mailbox_index.get_expired(ended.address) is None:
            commit_group.delete_raw(layout.mailbox_key(ended.address))
        if ended.purge.messages:
            self.purges.put_row(ended.purge)
        commit_group.defer(partial(self._end_committed, ended))

    def _retry_failed_ends(self) -> None:
        """Add the ends whose commit failed to the commit group again."""
        if self._failed_ends:
            failed_ends, self._failed_ends = self._failed_ends, []
            for ended in failed_ends:
                self._commit_end(ended)
            self._put_count()

    def _end_committed(self, ended: EndedMailbox, durable: bool) -> None:
        if not durable:
            # The next tick tries again: the failing group discards anything that is added to it now. Messages
            # that the group deleted may be in the store after all, so their number is unknown.
            purge = ended.purge._replace(messages=ANY_MESSAGES)
            self._failed_ends.append(ended._replace(purge=purge))
            return
        self._delivery.events.expired(ended.address)
        if ended.purge.messages:
            self.purges.schedule(ended.purge)
