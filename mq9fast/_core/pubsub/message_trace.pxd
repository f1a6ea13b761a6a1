"""Traces of messages: the header Nats-Trace-Dest asks where a message went, Nats-Trace-Only that it goes
nowhere (nats-server 2.11, ADR-41)."""

from mq9fast._core.base.view cimport View
from mq9fast._core.protocol.parser cimport Operation
from mq9fast._core.pubsub.client cimport Client, Subscription
from mq9fast._core.pubsub.router cimport Router


cdef bint asks_for_trace(View header) noexcept


cdef class Trace:
    """One message that asks for its trace, and what became of it."""
    cdef readonly bytes destination
    cdef readonly bint only           # it is to be delivered to nobody
    cdef readonly Client sender
    cdef readonly bytes subject
    cdef readonly bytes header
    cdef readonly Py_ssize_t size     # of header and payload
    cdef public str error             # why nobody was offered it; None if it was offered
    cdef readonly list receivers      # (Subscription, why it was not delivered to it or None)


cdef Trace read_trace(Client sender, const Operation* op)


cdef class Tracer:
    cdef Router router
    # Given a Trace, the header and the body of the message that tells of it. None: nobody is told.
    cdef public object report

    cdef int publish(self, Trace trace, const Operation* op) except -1
    cdef bint offer(self, Trace trace, Subscription subscription, const Operation* op) except *
    cdef int send(self, Trace trace) except -1
