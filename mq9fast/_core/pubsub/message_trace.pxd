"""Message tracing as in nats-server 2.11 (ADR-41), for the headers Nats-Trace-Dest and Nats-Trace-Only.

The broker publishes to the subject in Nats-Trace-Dest which subscriptions the message reached. With
Nats-Trace-Only it does not deliver the message. `Session` calls this for messages with these headers only;
`network/message_trace.py` writes the text of the report.
"""

from mq9fast._core.base.view cimport View
from mq9fast._core.protocol.parser cimport Operation
from mq9fast._core.pubsub.client cimport Client, Subscription
from mq9fast._core.pubsub.router cimport Router


cdef bint asks_for_trace(View header) noexcept


cdef class Trace:
    """The trace of one message: its destination, and the subscriptions that the message reached."""
    cdef readonly bytes destination   # subject to publish the trace to
    cdef readonly bint only           # Nats-Trace-Only: trace the message, do not deliver it
    cdef readonly Client sender
    cdef readonly bytes subject
    cdef readonly bytes header
    cdef readonly Py_ssize_t size     # bytes of header and payload
    cdef public str error             # why the message was refused; None if it was routed
    cdef readonly list receivers      # pairs (Subscription, reason for not delivering to it, or None)


cdef Trace read_trace(Client sender, const Operation* op)


cdef class Tracer:
    cdef Router router
    # report(trace) returns the header and the body of the message to publish. None: traces are not published.
    cdef public object report

    cdef int publish(self, Trace trace, const Operation* op) except -1
    cdef bint offer(self, Trace trace, Subscription subscription, const Operation* op) except *
    cdef int send(self, Trace trace) except -1
