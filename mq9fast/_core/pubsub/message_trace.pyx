"""Message tracing, called by `Session`; the contract is in message_trace.pxd."""

from libc.string cimport memchr

from mq9fast._core.base.view cimport View, empty_view, starts_with, to_bytes, view, view_of
from mq9fast._core.protocol.literals cimport TRACE_DEST, TRACE_ONLY
from mq9fast._core.protocol.parser cimport Operation
from mq9fast._core.protocol.subject cimport has_wildcard, is_mq9_subject, valid_subject
from mq9fast._core.pubsub.client cimport Client, Subscription
from mq9fast._core.pubsub.match_cache cimport Match

cdef enum:
    MAX_RECEIVERS = 1000         # in one trace, because a trace is one message


cdef const char* value_after(View header, View name) noexcept:
    """The start of the value of the first header with this name; NULL if there is none."""
    cdef const char* at = header.data
    cdef const char* end = header.data + header.size
    while True:
        # A header has few lines, and most of them have another name: memchr is faster here than memmem.
        at = <const char*>memchr(at, c'\n', <size_t>(end - at))
        if at is NULL or end - at < name.size + 2:
            return NULL
        at += 1
        if at[0] == name.data[0] and starts_with(view(at, end - at), name) and at[name.size] == c':':
            if at - 2 >= header.data and (at - 2)[0] == c'\r':
                return at + name.size + 1


cdef bint asks_for_trace(View header) noexcept:
    return value_after(header, TRACE_DEST) is not NULL


cdef bytes value_of(View header, View name):
    """The value of the first header with this name, without blanks around it; empty if there is none."""
    cdef const char* at = value_after(header, name)
    if at is NULL:
        return b""
    return to_bytes(view(at, header.data + header.size - at)).partition(b"\r")[0].strip(b" ")


cdef class Trace:
    """The trace of one message; its fields are in message_trace.pxd."""


cdef Trace read_trace(Client sender, const Operation* op):
    """A new trace for a message; None if the message has no Nats-Trace-Dest."""
    cdef Trace trace
    cdef bytes destination = value_of(op.header, TRACE_DEST)
    if not destination:
        return None
    trace = Trace.__new__(Trace)
    trace.destination = destination
    trace.only = value_of(op.header, TRACE_ONLY).lower() in (b"1", b"true", b"on")
    trace.sender = sender
    trace.subject = to_bytes(op.subject)
    trace.header = to_bytes(op.header)
    trace.size = op.header.size + op.payload.size
    trace.receivers = []
    return trace


cdef class Tracer:
    """Delivers a message to plain subjects as the router does, and records the receivers in its trace."""

    def __cinit__(self, Router router not None):
        self.router = router

    cdef int publish(self, Trace trace, const Operation* op) except -1:
        cdef Match* match = self.router.sublist.match(op.subject)
        cdef Py_ssize_t start = match.plain
        cdef Py_ssize_t accepted = 0
        cdef Py_ssize_t i, j, first, count
        for i in range(match.plain):
            accepted += self.offer(trace, <Subscription>match.subscriptions[i], op)
        for i in range(match.groups):
            count = match.ends[i] - start
            first = self.router.pick_random(count)
            for j in range(count):
                if self.offer(trace, <Subscription>match.subscriptions[start + (first + j) % count], op):
                    accepted += 1
                    break
            start = match.ends[i]
        if accepted == 0:
            self.router.report_no_responders(trace.sender, op)
        return 0

    cdef bint offer(self, Trace trace, Subscription subscription, const Operation* op) except *:
        """Whether the subscription accepts the message. It is then delivered, unless it is only traced."""
        cdef Client sender = trace.sender
        cdef str error = None
        if subscription.client is sender and not sender.echo:
            error = "Not delivered because of no echo"
        elif subscription.filter is not None and not subscription.filter.allows(op.subject):
            error = "Not delivered because subscription denies this subject"
        elif subscription.client.closing:
            error = "Not delivered because client is closed"
        elif subscription.max_reached():
            error = "Not delivered because auto-unsubscribe exceeded"
        elif not trace.only:
            subscription.send(op.subject, op.reply, op.header, op.payload)
            self.router.stall_sender(sender, subscription.client)
        if len(trace.receivers) < MAX_RECEIVERS:
            trace.receivers.append((subscription, error))
        return error is None

    cdef int send(self, Trace trace) except -1:
        """Publish the trace to its destination, unless that is not a valid plain subject."""
        cdef View subject = view_of(trace.destination)
        cdef bytes header, body
        if self.report is None or is_mq9_subject(subject):
            return 0
        if has_wildcard(subject) or not valid_subject(subject):
            return 0
        # The subject is written into a MSG line: blanks and control characters would break the line.
        if any([c <= 32 for c in trace.destination]):
            return 0
        header, body = self.report(trace)
        self.router.deliver(None, subject, empty_view(), view_of(header), view_of(body))
        return 0
