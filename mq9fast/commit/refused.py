"""Undoes the changes of a failed commit group: in memory at once, in the store when it accepts writes again.

If the write of a batch failed, the batch is not in the store. If the fsync failed, it is, although its
messages were refused. So the first batch after the failure deletes these messages, before any client reads
them. If the broker is killed before that, the next start loads them like other messages.

Messages that replaced stored ones are kept after a failed fsync, and delivered, although they were refused:
what they replaced was acknowledged, and may be gone.

`commit/pipeline.py` calls `undo`, and `commit/healing.py` calls `delete_stored`.
"""

import logging
from functools import partial
from typing import NamedTuple

from mq9fast._core.commit.accumulator import Accumulator
from mq9fast._core.commit.commit_group import CommitGroup
from mq9fast._core.delivery.delivery import Delivery
from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast._core.mailbox.mailbox_index import MailboxIndex
from mq9fast._core.storage.record import CorruptRecord
from mq9fast._core.storage.record_batch import RecordBatchReader
from mq9fast.errors import UNREADABLE
from mq9fast.storage import layout
from mq9fast.storage.store import Store

log = logging.getLogger("mq9fast.refused")

# Of messages, and of delayed ones.
RANKS = (*range(3), *range(layout.DELAYED_RANK, layout.DELAYED_RANK + 3))


class IdRange(NamedTuple):
    """The ids of refused messages in the mailbox with this uid: from `first` up to but not `end`."""

    uid: int
    first: int
    end: int


class RefusedMessages:
    """The mailboxes that failed commit groups have changed, and the refused messages that may be stored."""

    def __init__(
        self, mailbox_index: MailboxIndex, delivery: Delivery, accumulator: Accumulator, store: Store
    ) -> None:
        self._mailbox_index = mailbox_index
        self._delivery = delivery
        self._accumulator = accumulator
        self._store = store
        self._ids: dict[Mailbox, tuple[IdRange, ...]] = {}
        self._touched: dict[Mailbox, None] = {}
        self._kept: dict[Mailbox, None] = {}
        # Messages that are not refused, as (mailbox, uid, msg_id): see CommitGroup.composed.
        self._composed: dict[tuple[Mailbox, int, int], None] = {}

    def undo(self, commit_group: CommitGroup) -> None:
        """Reload the mailboxes that the failed batch of a group has changed.

        `delete_stored` reloads them again: some may not be readable now, and written changes may be gone when
        the store is reopened.
        """
        self._accumulator.forget_rows()
        self._composed.update(dict.fromkeys(commit_group.composed))
        for mailbox, *ids in commit_group.ids_not_written():
            self._add(mailbox, IdRange(*ids))
        for mailbox in commit_group.replacing_mailboxes():
            self._kept[mailbox] = None
            self._delivery.fall_behind(mailbox)
        for mailbox in commit_group.mailboxes_not_written():
            self._touched[mailbox] = None
            mailbox.needs_reload = True
            try:
                self._reload(mailbox)
            except UNREADABLE:
                continue

    def _add(self, mailbox: Mailbox, ids: IdRange) -> None:
        known = self._ids.get(mailbox, ())
        if known and known[-1].uid == ids.uid and known[-1].end == ids.first:
            known, ids = known[:-1], IdRange(ids.uid, known[-1].first, ids.end)
        self._ids[mailbox] = (*known, ids)

    def _reload(self, mailbox: Mailbox) -> None:
        """Set a mailbox to its stored state, without refused messages. Raises StoreError or CorruptRecord."""
        lived = mailbox.exists
        self._mailbox_index.reload(mailbox, self._store.get(layout.mailbox_key(mailbox.address)))
        if mailbox.keys is not None and mailbox.keys.uncertain:
            mailbox.keys.set_replaced(layout.replaced_messages(self._store, mailbox.uid))
        if lived and not mailbox.exists:
            self._delivery.restart(mailbox)
        self._delivery.options_changed(mailbox)
        for rank, first, (start, end) in self._places(mailbox):
            for msg_id, _, header, payload, _ in RecordBatchReader(self._store.scan(start, end), first):
                if (mailbox, mailbox.uid, msg_id) not in self._composed:
                    self._mailbox_index.uncount_refused(mailbox, rank, msg_id, len(header) + len(payload))
        mailbox.needs_reload = False

    def _places(self, mailbox: Mailbox) -> list[tuple[int, int, tuple[bytes, bytes]]]:
        """Where refused messages of a live mailbox may be stored: rank, first id, and first and end key."""
        return [
            (rank, ids.first, layout.messages_between(ids.uid, rank, ids.first, ids.end))
            for ids in self._ids.get(mailbox, ())
            if mailbox.exists and ids.uid == mailbox.uid
            for rank in RANKS
        ]

    def _places_of_ids(self, mailbox: Mailbox) -> list[tuple[bytes, bytes]]:
        """Where Nats-Msg-Ids of refused messages of a live mailbox may be stored: first and end key."""
        return [
            layout.messages_between(ids.uid, layout.IDS_RANK, ids.first, ids.end)
            for ids in self._ids.get(mailbox, ())
            if mailbox.exists and ids.uid == mailbox.uid
        ]

    def delete_stored(self) -> None:
        """Add the deletion of stored refused messages to the commit group, before the store accepts writes
        again.

        Later changes must be written in the same batch or after it. Raises StoreError if the store cannot be
        read; the caller has to call this again then.
        """
        for mailbox in list(self._touched):
            try:
                self._reload(mailbox)
            except CorruptRecord as error:
                # The record stays damaged: go on with the other mailboxes.
                log.error("the record of the mailbox with the uid %d is damaged: %s", mailbox.uid, error)
            del self._touched[mailbox]
        deletions = [
            (mailbox, key)
            for mailbox in self._ids
            for _, _, (start, end) in self._places(mailbox)
            for key, _ in self._store.scan(start, end)
            # A record batch has messages that clients sent, or messages that the broker composed, not both.
            if (mailbox, mailbox.uid, layout.msg_id_of(key)) not in self._composed
        ]
        deletions += [
            (mailbox, key)
            for mailbox in self._ids
            for start, end in self._places_of_ids(mailbox)
            for key, _ in self._store.scan(start, end)
        ]
        commit_group = self._accumulator.group
        self._accumulator.forget_rows()
        for mailbox, key in deletions:
            commit_group.delete_raw(key)
            commit_group.touch_mailbox(mailbox)
        for mailbox, uid, _ in self._composed:
            if mailbox.exists and mailbox.uid == uid:
                commit_group.touch_mailbox(mailbox)
        if deletions:
            log.info("deleting %d stored rows of refused messages", len(deletions))
        kept = [mailbox for mailbox in self._kept if mailbox.exists]
        for mailbox in kept:
            # With its record the messages become durable.
            commit_group.touch_mailbox(mailbox)
        if self._kept:
            commit_group.defer(partial(self._kept_committed, list(self._kept)))
        if self._ids:
            committed = partial(self._deletions_committed, dict(self._ids), list(self._composed))
            commit_group.defer(committed)

    def _kept_committed(self, mailboxes: list[Mailbox], durable: bool) -> None:
        if durable:
            for mailbox in mailboxes:
                self._kept.pop(mailbox, None)

    def _deletions_committed(
        self,
        ids: dict[Mailbox, tuple[IdRange, ...]],
        composed: list[tuple[Mailbox, int, int]],
        durable: bool,
    ) -> None:
        if durable:
            for message in composed:
                self._composed.pop(message, None)
            for mailbox, deleted in ids.items():
                if self._ids.get(mailbox) is deleted:
                    del self._ids[mailbox]
