"""Drops the oldest messages of a mailbox that is past its size and has the option `discard` "old".

`MailboxWriter` calls `make_room` before it adds a message. Housekeeping calls `work_some` for what a MSG left
to drop.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.limits cimport Limits
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.commit.batch_deletes cimport FoundMessage
from mq9fast._core.dropper cimport Dropper
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.protocol.literals cimport RANKS
from mq9fast._core.pubsub.client cimport PendingWork


cdef enum:
    MAX_DROPPED = 1024        # messages that one MSG drops


cdef struct OldMessage:
    # A message that may be dropped. The rank of a delayed one is DELAYED_RANK more.
    FoundMessage found
    Py_ssize_t unwritten      # its index in BatchPuts; -1 if the store has it


cdef struct Excess:
    # What is still too much in a mailbox.
    uint64_t messages
    uint64_t bytes


cdef inline bint is_none(const Excess* excess) noexcept:
    return excess.messages == 0 and excess.bytes == 0


cdef class HeldMessages:
    """Of a mailbox: by rank, an id below which members hold every message. Valid while the mailbox has
    `passed_over`."""
    cdef uint64_t end[RANKS]


cdef class Discarder:
    cdef Limits limits
    cdef PendingWork pending_work
    cdef Accumulator accumulator
    cdef Dropper dropper
    cdef object store
    cdef object finish_write      # finish_write() has the store have all of the sealed group
    cdef dict held                # uid -> HeldMessages
    cdef dict unfinished          # mailboxes with more to drop -> None
    cdef OldMessage found[MAX_DROPPED]
    cdef Py_ssize_t found_count

    cdef bint make_room(self, Mailbox mailbox, uint64_t size) except -1
    cdef Excess excess(self, Mailbox mailbox, uint64_t messages, uint64_t size) noexcept
    cdef int find(self, Mailbox mailbox, Excess* excess) except -1
    cdef int find_stored(self, Mailbox mailbox, int rank, Excess* excess) except -1
    cdef int find_unwritten(self, Mailbox mailbox, int rank, Excess* excess) except -1
    cdef int find_delayed(self, Mailbox mailbox, int rank, Excess* excess) except -1
    cdef OldMessage* add(self, uint64_t size, Excess* excess) noexcept
    cdef bint is_enough(self, const Excess* excess) noexcept
    cdef HeldMessages held_of(self, Mailbox mailbox)
    cdef int drop_found(self, Mailbox mailbox) except -1
