"""What comes in for mailboxes: MSG and DELETE go into the turn here; the other commands are Python's."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View
from mq9fast._core.commit.batch_deletes cimport DeletedRow
from mq9fast._core.commit.commit_group cimport CommitGroup
from mq9fast._core.delivery.delivery cimport Delivery
from mq9fast._core.mailbox.mailbox cimport MailboxIndex, Mailbox
from mq9fast._core.protocol.parser cimport Operation
from mq9fast._core.pubsub.client cimport PendingWork, Client


cdef class MailboxWriter:
    cdef MailboxIndex mailbox_index
    cdef Delivery delivery
    cdef PendingWork pending_work
    cdef readonly CommitGroup commit_group               # gathering now
    cdef readonly uint64_t group_number                  # of that
    cdef public CommitGroup unreleased                   # gathered before, not durable yet; or None

    # The Python side.
    cdef public object store              # get(key), scan(first, end); raise store_error
    cdef public object store_error        # the exception class, or several
    cdef public object write_out          # write_out() has the store take what the turn's batch holds
    cdef public object command            # command(rest, payload, reply) for all but MSG and DELETE
    cdef public object auto_create        # None, or auto_create(address) -> Mailbox, or None past a limit
    cdef dict refusals                    # error code -> JSON reply

    # Limits; 0 = none.
    cdef public uint64_t max_messages
    cdef public uint64_t max_mailbox_bytes
    cdef public uint64_t max_store_bytes
    cdef Py_ssize_t stall_bytes           # gathered and not durable, past which senders have to wait

    cdef public bint failed               # the store takes no writes for now
    cdef public bint disk_full            # too little disk for messages; what frees some is still taken

    # Counted for monitoring.
    cdef readonly uint64_t accepted
    cdef readonly uint64_t deleted
    cdef readonly uint64_t dropped        # publishes that asked for no reply and were refused
    cdef readonly uint64_t over_limit

    cdef int publish(self, Client client, const Operation* op) except -1
    cdef int message(self, Client client, const Operation* op, View rest) except -1
    cdef int delete(self, Client client, const Operation* op, View rest) except -1
    cdef int refuse(self, View reply, str code) except -1
    cdef bint within_limits(self, Mailbox mailbox, uint64_t size) noexcept
    cdef bint delete_message(self, Mailbox mailbox, uint64_t msg_id) except -1
    cdef bint delete_in_flight(self, Mailbox mailbox, uint64_t msg_id, int* rank, uint64_t* size) except -1
    cdef bint delete_stored(self, Mailbox mailbox, uint64_t msg_id, int* rank, uint64_t* size) except -1
    cdef bint delete_in_row(
        self, Mailbox mailbox, DeletedRow row, int index, uint64_t msg_id, uint64_t size, bint in_flight
    ) except -1
    cdef int retract(self, Mailbox mailbox, uint64_t msg_id) except -1
    cdef int nak(self, Client client, Mailbox mailbox, uint64_t msg_id) except -1
