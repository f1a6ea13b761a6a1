"""What all sessions of a broker share, and the end of each turn of the event loop.

There is one Engine per broker. Sessions call it around each read, for publishes to `$mq9.` subjects, and to
end subscriptions. The event loop and `PendingWork` call `end_turn`; housekeeping calls `update_clock`. The
engine calls `commit/pipeline.py` and `mailbox/commands.py`.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.broker_time cimport BrokerTime
from mq9fast._core.base.limits cimport Limits
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.delivery.delivery cimport Delivery
from mq9fast._core.mailbox_writer cimport MailboxWriter
from mq9fast._core.protocol.parser cimport Bounds, Operation
from mq9fast._core.protocol.read_buffer cimport Scratch
from mq9fast._core.pubsub.client cimport Client, PendingWork, Subscription
from mq9fast._core.pubsub.message_trace cimport Tracer
from mq9fast._core.pubsub.router cimport Router


cdef class Engine:
    cdef readonly PendingWork pending_work
    cdef readonly Router router
    cdef readonly Delivery delivery
    cdef readonly MailboxWriter mailbox_writer
    cdef readonly Tracer tracer
    cdef Limits limits
    cdef Accumulator accumulator
    cdef Scratch scratch
    cdef Bounds bounds

    # Python objects; see the constructor.
    cdef object commands              # commands(rest, payload, client, reply) runs the other commands
    cdef public object system_requests  # answers $SYS.REQ.: (client, subject, payload, reply) -> bool
    cdef object pipeline              # commit() and clients_stalled(): see Engine
    cdef object loop                  # the event loop: call_soon, call_exception_handler
    cdef int ready_descriptor         # readable while any socket is; -1 where there is none
    cdef uint64_t ended_ns            # when a turn last ended right after its read
    cdef bint back_to_back            # this turn began soon after ended_ns

    # Counted over all connections, closed ones included.
    cdef readonly uint64_t refused_subscriptions      # because of max_subscriptions
    cdef readonly uint64_t violations                 # of permissions
    cdef readonly uint64_t reads                      # of sockets
    cdef readonly uint64_t in_messages
    cdef readonly uint64_t in_bytes
    cdef readonly uint64_t subscribed                 # SUBs that made a subscription
    cdef readonly uint64_t unsubscribed               # subscriptions that ended

    cdef readonly BrokerTime time
    cdef readonly bint after_gap      # no deadline passes until the sockets are read: see update_clock

    cdef int publish_to_mailboxes(self, Client client, const Operation* op) except -1
    cdef int publish_to_broker(self, Client client, const Operation* op) except -1
    cdef bint begin_read(self) noexcept
    cdef int end_read(self, bint at_once, Py_ssize_t read_bytes) except -1
    cpdef void update_clock(self) noexcept
    cpdef void resume_expiry(self) noexcept
    cpdef int end_turn(self) except -1
    cdef int commit(self) except -1
    cdef int continue_in_hurry(self) except -1
    cdef int serve_clients(self) except -1
    cpdef void busy_poll(self) noexcept
    cdef int end_subscriptions_at_maximum(self) except -1
    cdef int remove_subscription(self, Subscription subscription) except -1
    cdef int give_back(self, Client client, bytes sid) except -1
    cdef int end_at_maximum(self, Subscription subscription) except -1
