"""The core in memory with all that a broker does to mailboxes: commands, expiry, thinning, purges."""

import contextlib
from collections.abc import Callable
from typing import Any

from mq9fast._core.ended_messages import EndedMessages
from mq9fast._core.expirer import Expirer
from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast._core.mailbox.stored_messages import delayed_messages, stored_messages
from mq9fast._core.storage.record import CorruptRecord
from mq9fast._core.thinner import Thinner
from mq9fast.errors import StoreError
from mq9fast.mailbox.board import Board
from mq9fast.mailbox.commands import Commands
from mq9fast.mailbox.lifecycle import Mailboxes
from mq9fast.mailbox.listing import Listing
from tests.support import in_memory
from tests.support.in_memory import KIB, Core, Peer

# More than any input asks for.
MAX_STEPS = 1000


class _Run:
    """Takes the commands that the core passes on, and runs them."""

    def __init__(self, commands: Commands) -> None:
        self.append = lambda command: commands(*command)


class WholeCore(Core):
    """`rows`: what the store has at the start. Raises CorruptRecord or StoreError if they are damaged."""

    def __init__(self, rows: dict[bytes, bytes] | None = None) -> None:
        super().__init__()
        self.peers: list[Peer] = []
        store: Any = self.store
        store.new_batch = in_memory.MemoryBatch
        store.pairs = dict(rows or {})
        self.mailboxes = Mailboxes(
            self.mailbox_index,
            self.delivery,
            self.accumulator,
            store,
            self.limits,
            EndedMessages(self.receipts, self.dead_letters, store=store),
        )
        listing = Listing(
            self.mailbox_index, store, self.names, lambda: 8 * KIB, self.time, self.replacer.find_key
        )
        board = Board(self.mailbox_index, store, lambda: 8 * KIB, self.time)
        run: Any = _Run(
            Commands(self.pending_work, self.accumulator, self.router, self.mailboxes, listing, board)
        )
        self.commands = run
        self.expirer = Expirer(
            self.mailbox_index,
            self.accumulator,
            self.deleter,
            self.delayer,
            self.receipts,
            self.dead_letters,
            store=store,
            write_batch=self.pipeline.write_batch,
        )
        self.thinner = Thinner(self.mailbox_index, self.accumulator)
        self.house_work: list[Callable[[], object]] = [
            self.mailboxes.expire_due,
            self.expirer.work_some,
            self.delivery.tick,
            self.mailboxes.purges.purge_some,
            self.deduplicator.work_some,
            self.discarder.work_some,
            self.replacer.work_some,
            self.mailboxes.purge_orphans,
            lambda: self.thinner.step(store, 64 * KIB),
        ]
        if rows is not None:
            self.mailboxes.load(accept_loss=True)

    def session(self, *, headers: bool = True) -> Peer:
        self.peers.append(super().session(headers=headers))
        return self.peers[-1]

    def end(self) -> None:
        """All clients leave: the garbage collector does not see a mailbox that has consumers."""
        for peer in self.peers:
            peer.session.closed()
        with contextlib.suppress(CorruptRecord, StoreError):
            self.keep_house()

    def keep_house(self) -> None:
        """What the broker does between turns, until nothing is left to do. Raises CorruptRecord."""
        self.end_turn()
        for work in self.house_work:
            for _ in range(MAX_STEPS):
                more = work()
                self.end_turn()
                if not more:
                    break

    def check_counts(self) -> None:
        """Each mailbox counts the messages that are stored."""
        for mailbox in self.mailbox_index:
            for rank in range(3):
                stored = sum(1 for _ in stored_messages(self.store, mailbox, rank, 0))  # type: ignore[arg-type]
                counted = mailbox.count_of(rank)
                assert stored == counted, (mailbox.address, rank, stored, counted)
            waiting = sum(self._delayed(mailbox, rank) for rank in range(3))
            assert waiting == mailbox.delayed_count, (mailbox.address, waiting, mailbox.delayed_count)

    def _delayed(self, mailbox: Mailbox, rank: int) -> int:
        end = 1 << 62
        return sum(1 for _ in delayed_messages(self.store, mailbox, rank, 0, end))  # type: ignore[arg-type]
