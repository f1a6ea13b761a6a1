"""What reads a mailbox: a plain subscription (here) or a queue group (queue_group.pyx).

A consumer has one cursor per rank: the first id of that rank that it was not given. A consumer that is caught
up gets each message as it becomes durable. It falls behind if its client has a full socket or too much
unwritten output, or if the turn has no time left. It then reads the store from its cursors on: no messages
are kept in memory for it. `Delivery` calls consumers; `queue_group.pyx` uses the frames too.
"""

from libc.stdint cimport uint8_t, uint64_t

from mq9fast._core.base.view cimport View
from mq9fast._core.delivery.failures cimport Failures
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.pubsub.client cimport Client, PendingWork, Subscription
from mq9fast._core.storage.record cimport StoredMessage
from mq9fast._core.storage.record_batch cimport RecordBatchReader, RecordLocation


cdef enum:
    SUBJECT_CAPACITY = 224        # the longest subject of a delivery, with slack
    FRAME_BYTES = 24              # of a frame, without subjects, header and payload
    # What one consumer gets in one turn, at least one message. A second message of more than half of it may
    # take half as much more, so that two of 128 KiB are one turn.
    CATCH_UP_BYTES = 196608
    CATCH_UP_BYTES_IN_HURRY = 65536
    LOADED_AT_ONCE = 1024         # rows of failed deliveries that one turn loads for a consumer
    OUTPUT_BYTES = 262144         # a client with this much unwritten output gets nothing from consumers


cdef enum CatchUpResult:
    CAUGHT_UP     # it has everything durable, and gets new messages live
    MORE_TO_GIVE  # it used up its share of the turn
    NO_RECEIVER   # no client can accept messages: full socket, closing, or it has as many as it may have
    NOT_DURABLE   # it has everything durable, but messages from before it joined are not durable


cdef enum ConsumerState:
    IDLE
    QUEUED                    # in Delivery's queue to catch up
    PARKED                    # waits for the sockets or the answers of its clients


cdef struct DeliveryFrame:
    # One message as it is delivered to any subscriber. DANGER: points into itself and to the message.
    char text[2 * SUBJECT_CAPACITY]
    char* id_at               # end of the reply subject, where the id goes
    View subject
    View reply
    View header
    View payload
    int rank
    uint8_t flags             # of the message: a set of MessageFlags
    uint64_t msg_id
    RecordLocation location


cdef void begin_frame(DeliveryFrame* frame, Mailbox mailbox, int rank) noexcept
cdef int fill_frame(
    DeliveryFrame* frame, uint64_t msg_id, const StoredMessage* message, RecordLocation location
) except -1


cdef inline Py_ssize_t cost_of(const DeliveryFrame* frame) noexcept:
    """About the bytes that a delivery sends. They count towards CATCH_UP_BYTES."""
    cdef Py_ssize_t subjects = frame.subject.size + frame.reply.size
    return FRAME_BYTES + subjects + frame.header.size + frame.payload.size


cdef inline Py_ssize_t catch_up_bytes(PendingWork pending_work) noexcept:
    return CATCH_UP_BYTES_IN_HURRY if pending_work.hurried else CATCH_UP_BYTES


cdef inline bint accepts_more(Client client) noexcept:
    """Whether consumers may give the client more in this turn."""
    return client.writable and not client.closing and client.out.size < OUTPUT_BYTES


cdef class Consumer:
    cdef Mailbox mailbox
    cdef uint64_t cursor[3]
    cdef uint64_t live_from_id  # it counts as caught up only when all lower ids are durable
    cdef bint caught_up
    cdef ConsumerState state

    cdef int restart(self) except -1
    cdef int offer(self, DeliveryFrame* frame) except -1
    cdef CatchUpResult catch_up(self, object store) except *
    cdef int park(self) except -1
    cdef bint wants(self, int rank)
    cdef int check_holds(self, object member, uint64_t now_ms) except -1
    cdef RecordBatchReader scan(self, object store, int rank)
    cdef CatchUpResult finish_catch_up(self) noexcept


cdef class PlainConsumer(Consumer):
    cdef Subscription subscription
    cdef Failures failures
    cdef int ranks            # the set of ranks that it subscribed to

    cdef Py_ssize_t unsent_bytes(self) except -1
    cdef int give(self, DeliveryFrame* frame) except -1
