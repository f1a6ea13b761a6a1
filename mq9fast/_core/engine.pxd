"""What every session of a broker shares, and the end of each turn."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.broker_time cimport BrokerTime
from mq9fast._core.delivery.delivery cimport Delivery
from mq9fast._core.mailbox_writer cimport MailboxWriter
from mq9fast._core.protocol.parser cimport Bounds
from mq9fast._core.protocol.read_buffer cimport Scratch
from mq9fast._core.pubsub.client cimport PendingWork, Subscription
from mq9fast._core.pubsub.message_trace cimport Tracer
from mq9fast._core.pubsub.router cimport Router


cdef class Engine:
    cdef readonly PendingWork pending_work
    cdef readonly Router router
    cdef readonly Delivery delivery
    cdef readonly MailboxWriter mailbox_writer
    cdef readonly Tracer tracer
    cdef Scratch scratch
    cdef Bounds bounds
    cdef public Py_ssize_t max_subscriptions     # per connection; 0 = no limit

    # The end of a turn.
    cdef public object commit         # commit() takes the turn to the store, and reads on from that
    cdef public object failed         # failed(error) hears of a turn that failed
    cdef public object stalled        # stalled() is called at the end of a turn that has clients wait
    cdef public int ready_descriptor  # readable while any socket is; -1 where there is none
    cdef public bint finishing        # nobody who was told to stop sending is let go on

    # Waiting awake for the next turn: see busy_poll.
    cdef public uint64_t busy_poll_us  # for so long; 0 = not at all
    cdef public object poll_soon       # poll_soon() has busy_poll called once what was written is on its way
    cdef uint64_t ended_ns             # when a turn last ended with its read
    cdef bint back_to_back             # the one of now began soon after

    # Of every connection, those closed included.
    cdef readonly uint64_t refused_subscriptions      # past the limit
    cdef readonly uint64_t violations                 # of permissions
    cdef readonly uint64_t reads                      # of sockets
    cdef readonly uint64_t in_messages
    cdef readonly uint64_t in_bytes
    cdef readonly uint64_t subscribed                 # subscriptions made
    cdef readonly uint64_t unsubscribed               # and ended

    # What time it is.
    cdef readonly BrokerTime time
    cdef readonly bint after_gap      # sockets are to be read before any deadline passes: see tell_time

    cdef bint begin_read(self) noexcept
    cdef int end_read(self, bint at_once) except -1
    cpdef void update_clock(self) noexcept
    cpdef void judge_deadlines(self) noexcept
    cpdef int end_turn(self) except -1
    cdef int serve_clients(self) except -1
    cpdef void busy_poll(self) noexcept
    cpdef int end_finished(self) except -1
    cdef int drop(self, Subscription subscription) except -1
    cdef int finish(self, Subscription subscription) except -1
