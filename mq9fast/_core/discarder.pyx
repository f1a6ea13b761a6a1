"""Drops old messages of full mailboxes; the contract, and who uses it, is in discarder.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.check cimport check
from mq9fast._core.base.clock cimport monotonic_ns
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.commit.batch_deletes cimport BatchDeletes, FoundMessage
from mq9fast._core.commit.batch_puts cimport BatchPuts
from mq9fast._core.dropper cimport Dropper
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.protocol.literals cimport RANKS
from mq9fast._core.pubsub.client cimport CLOCK_CHECK_COST, PendingWork
from mq9fast._core.storage.row_format cimport DELAYED_RANK

cdef enum:
    # One call of `work_some` takes about so long.
    WORK_NS = 1_000_000
    MAX_HELD_ENTRIES = 1024
    # Delayed messages that are looked up together.
    DELAYED_AT_ONCE = 16
    # A MSG that drops more messages than this costs much more than it sends.
    FEW_MESSAGES = 8


cdef inline uint64_t lower(uint64_t one, uint64_t other) noexcept:
    """The lower of two limits, of which 0 is none."""
    return min(one, other) if one and other else one or other


cdef inline uint64_t above(uint64_t size, uint64_t limit) noexcept:
    """How much `size` is above a limit."""
    return size - limit if limit and size > limit else 0


cdef class HeldMessages:
    pass


cdef class Discarder:
    """One for each broker."""

    def __cinit__(
        self, PendingWork pending_work not None, Accumulator accumulator not None, Dropper dropper not None,
        *, store, finish_write,
    ):
        self.limits = pending_work.limits
        self.pending_work = pending_work
        self.accumulator = accumulator
        self.dropper = dropper
        self.store = store
        self.finish_write = finish_write
        self.held = {}
        self.unfinished = {}

    cdef bint make_room(self, Mailbox mailbox, uint64_t size) except -1:
        """Drop messages so that one of `size` bytes has room. False if that is not possible: then nothing is
        dropped. Raises what the store raises."""
        cdef Excess excess = self.excess(mailbox, 1, size)
        cdef uint64_t lookups = self.accumulator.group.deletes.lookups
        if above(size, lower(mailbox.options.max_bytes, self.limits.max_mailbox_bytes)):
            return False
        self.find(mailbox, &excess)
        if self.accumulator.group.deletes.lookups != lookups or self.found_count > FEW_MESSAGES:
            self.pending_work.cost += CLOCK_CHECK_COST
        if not is_none(&excess):
            if self.found_count < MAX_DROPPED:
                return False
            self.unfinished[mailbox] = None
        self.drop_found(mailbox)
        return True

    cdef Excess excess(self, Mailbox mailbox, uint64_t messages, uint64_t size) noexcept:
        """What would be too much in the mailbox with so much more."""
        cdef Excess excess
        cdef uint64_t max_messages = lower(mailbox.options.max_messages, self.limits.max_mailbox_messages)
        cdef uint64_t max_bytes = lower(mailbox.options.max_bytes, self.limits.max_mailbox_bytes)
        excess.messages = above(mailbox.total() + messages, max_messages)
        excess.bytes = above(mailbox.size_bytes + size, max_bytes)
        return excess

    cdef int find(self, Mailbox mailbox, Excess* excess) except -1:
        """Find the messages to drop, MAX_DROPPED at most. What they leave too much stays in `excess`."""
        cdef int rank
        cdef uint64_t unwritten
        self.found_count = 0
        if self.accumulator.is_writing():
            self.finish_write()
        for rank in range(RANKS - 1, -1, -1):
            unwritten = <uint64_t>self.accumulator.group.puts.unwritten(mailbox, rank)
            check(unwritten <= mailbox.count[rank], b"a message that is not written was counted")
            if mailbox.count[rank] > unwritten and not self.is_enough(excess):
                self.find_stored(mailbox, rank, excess)
            if unwritten and not self.is_enough(excess):
                self.find_unwritten(mailbox, rank, excess)
        for rank in range(RANKS - 1, -1, -1):
            if mailbox.delayed() and not self.is_enough(excess):
                self.find_delayed(mailbox, rank, excess)
        return 0

    cdef int find_stored(self, Mailbox mailbox, int rank, Excess* excess) except -1:
        cdef BatchDeletes deletes = self.accumulator.group.deletes
        cdef HeldMessages held = self.held_of(mailbox)
        cdef uint64_t at = mailbox.head[rank] if held is None else max(held.end[rank], mailbox.head[rank])
        cdef Py_ssize_t before = self.found_count
        cdef FoundMessage found
        while not self.is_enough(excess) and deletes.next_live(
            mailbox.uid, rank, at, mailbox.written_id, self.store, &found
        ):
            at = found.place + 1
            if not self.dropper.is_held(mailbox, found.place):
                self.add(found.size, excess).found = found
                continue
            if self.found_count == before:
                if held is None:
                    held = HeldMessages()
                    if len(self.held) >= MAX_HELD_ENTRIES:
                        self.held.clear()
                    self.held[mailbox.uid] = held
                    mailbox.passed_over = True
                held.end[rank] = at
        return 0

    cdef int find_unwritten(self, Mailbox mailbox, int rank, Excess* excess) except -1:
        cdef BatchPuts puts = self.accumulator.group.puts
        cdef Py_ssize_t index = puts.next_unwritten(mailbox, rank, -1)
        cdef OldMessage* message
        while index >= 0 and not self.is_enough(excess):
            message = self.add(puts.content_size(index), excess)
            message.unwritten = index
            message.found.rank = rank
            index = puts.next_unwritten(mailbox, rank, index)
        return 0

    cdef int find_delayed(self, Mailbox mailbox, int rank, Excess* excess) except -1:
        """Those that nobody waits for yet come last."""
        cdef uint64_t at = 0
        cdef uint64_t msg_id, size
        cdef list found
        cdef OldMessage* message
        while not self.is_enough(excess):
            found = self.dropper.delayed.oldest(mailbox, DELAYED_RANK + rank, at, DELAYED_AT_ONCE)
            for msg_id, size in found:
                if self.is_enough(excess):
                    break
                message = self.add(size, excess)
                message.found.rank = DELAYED_RANK + rank
                message.found.place = msg_id
                at = msg_id + 1
            if len(found) < DELAYED_AT_ONCE:
                break
        return 0

    cdef OldMessage* add(self, uint64_t size, Excess* excess) noexcept:
        cdef OldMessage* message = &self.found[self.found_count]
        self.found_count += 1
        message.unwritten = -1
        excess.messages -= min(<uint64_t>1, excess.messages)
        excess.bytes -= min(size, excess.bytes)
        return message

    cdef bint is_enough(self, const Excess* excess) noexcept:
        return is_none(excess) or self.found_count == MAX_DROPPED

    cdef HeldMessages held_of(self, Mailbox mailbox):
        """What is known to be held in the mailbox, None if that is nothing."""
        cdef HeldMessages held = None
        if mailbox.passed_over:
            held = self.held.get(mailbox.uid)
        elif self.held:
            self.held.pop(mailbox.uid, None)
        return held

    cdef int drop_found(self, Mailbox mailbox) except -1:
        cdef Py_ssize_t i
        cdef OldMessage* message
        for i in range(self.found_count):
            message = &self.found[i]
            if message.found.rank >= DELAYED_RANK:
                self.dropper.drop_delayed(mailbox, message.found.rank, message.found.place)
            elif message.unwritten >= 0:
                self.dropper.drop_unwritten(mailbox, message.found.rank, message.unwritten)
            else:
                self.dropper.drop_stored(mailbox, &message.found)
        return 0

    def work_some(self) -> bool:
        """Drop what is past the size of mailboxes, for a short time. Returns whether there is more to do.
        Raises what the store raises."""
        cdef uint64_t end_ns = monotonic_ns() + WORK_NS
        cdef Mailbox mailbox
        cdef Excess excess
        while self.unfinished and not self.accumulator.store_failed:
            mailbox = next(iter(self.unfinished))
            self.found_count = 0
            if mailbox.exists and mailbox.options is not None and mailbox.options.discards_old:
                excess = self.excess(mailbox, 0, 0)
                self.find(mailbox, &excess)
                self.drop_found(mailbox)
            # Receipts may need `found` again.
            is_done = self.found_count < MAX_DROPPED
            self.dropper.tell_all()
            if is_done:
                del self.unfinished[mailbox]
            if monotonic_ns() >= end_ns:
                break
        return len(self.unfinished) > 0
