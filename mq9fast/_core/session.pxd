"""One client's protocol: parses what its socket sends and runs each operation.

`network/connection.py` creates one Session for each connection. The transport reads into the session's buffer
and calls `buffer_updated`. `network/handshake.py` sets its identity and permissions. The session passes plain
messages to the router, mailbox messages to the engine, and subscriptions to the router or to delivery.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View
from mq9fast._core.protocol.parser cimport Operation, Outcome
from mq9fast._core.protocol.read_buffer cimport ReadBuffer
from mq9fast._core.pubsub.client cimport PauseReason
from mq9fast._core.pubsub.message_trace cimport Trace
from mq9fast._core.subscriber cimport Subscriber


cdef class Session(Subscriber):
    cdef ReadBuffer read_buffer
    cdef public bint authorized                # false: only CONNECT is accepted
    cdef public object identity                # set by the handshake; the core does not use it
    cdef bint working
    cdef bint has_unhandled                    # a part of its last read is not handled yet
    cdef bint leaving                          # it sent a WebSocket close: close it when all is handled
    cdef readonly uint64_t received_bytes      # read from its socket
    cdef readonly bint past_first_ping         # it sent a PING or PONG: from then on it accepts a PING
    cdef public bytes after_first_ping         # protocol bytes that are written once it has; None = none
    cdef bint ping_is_out                      # the last PING to it is not answered
    cdef readonly uint64_t pinged_ns  # when the last PING was sent, by the monotonic clock; 0 = never
    cdef readonly uint64_t rtt_ns              # round trip of its last answered PING; 0 = none

    cpdef int receive(self, Py_ssize_t nbytes) except -1
    cdef int unframe(self, Py_ssize_t nbytes) except -1
    cpdef int use_up_share(self) except -1
    cdef int end_if_left(self) except -1
    cdef int work(self, bint resumed) except -1
    cdef int handle_frames(self, bint resumed) except -1
    cdef int handle(self, const Operation* op) except -1
    cdef bint is_postponable(self, const Operation* op) noexcept
    cdef int publish(self, const Operation* op) except -1
    cdef bint publish_traced(self, const Operation* op) except *
    cdef int deliver_traced(self, const Operation* op, Trace trace) except -1
    cdef bint check_publish(self, const Operation* op) except *
    cdef bint permits_publish(self, View subject) except *
    cdef bytes publish_violation(self, const Operation* op)
    cdef int close_if_invalid(self, Outcome outcome, const Operation* op) except -1
    cdef int trace_too_large(self, const Operation* op) except -1
    cdef int note_ping(self) except -1
    cdef int ponged(self) except -1
