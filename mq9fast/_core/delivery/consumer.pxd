"""Places in a mailbox: what a subscription or a queue group has been given, and how it is given the rest.

A source has one place per rank: the first id of that rank that it was not given. While it is caught up,
messages are offered to it as they become durable; as soon as a socket is full it falls behind, and is pumped
from the store once the socket drains. Nothing is kept for it in between.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.pubsub.client cimport Client, Subscription
from mq9fast._core.storage.record cimport StoredMessage
from mq9fast._core.storage.record_batch cimport RecordBatchReader, RecordLocation


cdef enum:
    SUBJECT_CAPACITY = 192        # longest prefix, address, rank or id, with slack
    FRAME_BYTES = 24              # of a delivery beside its subjects, header and payload
    CATCH_UP_BYTES = 196608       # about what one source is given in one turn
    OUTPUT_BYTES = 262144         # no source adds to a client that has this much to write


cdef enum CatchUpResult:
    CAUGHT_UP                 # given everything durable; the rest will be offered
    MORE_TO_GIVE              # stopped for fairness; wants another turn
    SOCKETS_FULL              # for a socket to drain
    NOT_DURABLE               # given everything durable, but it joined amid messages that are not yet


cdef enum ConsumerState:
    IDLE
    QUEUED                    # for the pump
    PARKED                    # with the clients whose sockets it waits for


cdef struct DeliveryFrame:
    # One message as it is delivered, whoever gets it. DANGER: points into itself and where the message lies.
    char text[2 * SUBJECT_CAPACITY]
    char* id_at               # where the id goes that ends the reply subject
    View subject
    View reply
    View header
    View payload
    int rank
    uint64_t msg_id
    RecordLocation location


cdef void begin_frame(DeliveryFrame* frame, Mailbox mailbox, int rank) noexcept
cdef void fill_frame(
    DeliveryFrame* frame, uint64_t msg_id, const StoredMessage* message, RecordLocation location
) noexcept


cdef inline Py_ssize_t cost_of(const DeliveryFrame* frame) noexcept:
    """What a delivery counts of PUMP_BYTES, about what goes out for it."""
    cdef Py_ssize_t subjects = frame.subject.size + frame.reply.size
    return FRAME_BYTES + subjects + frame.header.size + frame.payload.size


cdef class Consumer:
    cdef Mailbox mailbox
    cdef uint64_t cursor[3]
    cdef uint64_t live_from_id       # ids below were given out before it came and may be nobody's to offer
    cdef bint caught_up
    cdef ConsumerState state

    cdef int restart(self) except -1
    cdef int offer(self, DeliveryFrame* frame) except -1
    cdef CatchUpResult catch_up(self, object store) except *
    cdef int park(self) except -1
    cdef bint wants(self, int rank)
    cdef RecordBatchReader scan(self, object store, int rank)
    cdef CatchUpResult finish_catch_up(self) noexcept

    cdef inline bint can_take_more(self, Client client) noexcept:
        return client.writable and not client.closing and client.out.size < OUTPUT_BYTES


cdef class PlainConsumer(Consumer):
    cdef Subscription subscription
    cdef int ranks            # the set it takes

    cdef int give(self, DeliveryFrame* frame) except -1
