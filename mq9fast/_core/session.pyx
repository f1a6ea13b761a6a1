"""One client's protocol; the contract is in session.pxd."""

import time

from libc.stdint cimport uint64_t

from mq9fast._core.base.check cimport check
from mq9fast._core.base.clock cimport monotonic_ns
from mq9fast._core.base.view cimport View, empty_view, to_bytes, view, view_of
from mq9fast._core.engine cimport Engine
from mq9fast._core.protocol.literals cimport PING_LINE, PONG_LINE
from mq9fast._core.protocol.parser cimport (
    BAD_VERB, FOUND, LINE_TOO_LONG, NEED_MORE, PAYLOAD_TOO_LARGE, VERB_CONNECT, VERB_ERROR, VERB_HPUB,
    VERB_PING, VERB_PONG, VERB_PUB, VERB_SUB, VERB_UNSUB, Operation, Outcome, parse
)
from mq9fast._core.protocol.read_buffer cimport MIN_READ_BYTES, ReadBuffer
from mq9fast._core.protocol.subject cimport (
    has_wildcard, is_mq9_subject, is_reserved, is_routed_reply, valid_subject
)
from mq9fast._core.pubsub.client cimport (
    CLOCK_CHECK_COST, MIN_BULK_BYTES, PAUSE_CONNECT, PAUSE_SHARE, PAUSE_STALLED,
    PAUSE_STOPPING, PauseReason, PendingWork, Subscription
)
from mq9fast._core.pubsub.message_trace cimport Trace, asks_for_trace, read_trace
from mq9fast._core.pubsub.permissions cimport SubjectFilter
from mq9fast._core.subscriber cimport Subscriber


cdef enum:
    # Read ahead while a CONNECT is being checked. Without reading, the broker would not see the client leave.
    MAX_READ_AHEAD_BYTES = 4096
    # This many bytes of a read are handled even if the turn's time is up.
    MIN_WORK_BYTES = 1024
    # Bytes handled between two checks of the clock, after the first check.
    CLOCK_CHECK_BYTES = 8192
    # A client whose read is one request, and less than this, is served before others.
    MAX_SINGLE_BYTES = 4096


cdef class Session(Subscriber):
    """The protocol of one connection.

    `connection` has write(bytes), close(), pause() and resume() for the socket, unsent_bytes() for what it
    has not written yet, connect(json) for a CONNECT, and mailbox_subscribed(), called with the first
    subscription to a mailbox.
    """

    def __cinit__(self, PendingWork pending_work, uint64_t cid, Engine engine not None, connection):
        self.connection = connection
        self.read_buffer = ReadBuffer(engine.scratch)

    def get_buffer(self, sizehint: int) -> memoryview:
        """The buffer for the transport's next read."""
        if self.pending_work.time_is_up():
            return self.read_buffer.next_buffer(MIN_READ_BYTES)
        return self.read_buffer.next_buffer(
            self.pending_work.hurried_read_bytes if self.pending_work.hurried else 1 << 62
        )

    def buffer_updated(self, Py_ssize_t nbytes) -> None:
        """The transport read `nbytes`. If no other socket is readable, the turn ends with this read."""
        cdef bint ends_turn = self.engine.begin_read()
        try:
            self.receive(nbytes)
        finally:
            if ends_turn:
                self.engine.end_read(not self.paused & PAUSE_SHARE, nbytes)

    cpdef int receive(self, Py_ssize_t nbytes) except -1:
        """Handle the frames that were read."""
        cdef bint full = self.read_buffer.add_read(nbytes)
        self.received_bytes += <uint64_t>nbytes
        self.unframe(nbytes)
        self.engine.reads += 1
        if nbytes > MIN_WORK_BYTES:
            # This starts the measurement of the turn's time.
            self.pending_work.schedule_end()
        if self.pending_work.hurried and nbytes >= MAX_SINGLE_BYTES and self.authorized:
            # It is handled once the requests of clients that wait are answered.
            self.has_unhandled = self.has_unhandled or not self.connect_pending
            full = True
        self.work(False)
        if full:
            self.use_up_share()
        return 0

    cdef int unframe(self, Py_ssize_t nbytes) except -1:
        """Take the bytes just read out of their frames; `WebSocketSession` does."""
        return 0

    cdef int continue_work(self, PauseReason reason) except -1:
        self.paused &= ~reason
        if self.paused & (PAUSE_STALLED | PAUSE_STOPPING):
            # The rest of its read is handled when these reasons are gone.
            return 0
        if self.has_unhandled and not self.connect_pending and self.connection is not None:
            self.has_unhandled = False
            self.engine.reads += 1
            self.read_buffer.add_read(0)
            self.work(True)
        self.end_if_left()
        return self.read_unless_paused()

    def leave(self) -> None:
        """The client announced its end: close the connection when all it sent before is handled."""
        self.leaving = True
        self.end_if_left()

    cdef int end_if_left(self) except -1:
        if self.leaving and not self.has_unhandled and not self.connect_pending:
            self.begin_close(None)
        return 0

    cpdef int use_up_share(self) except -1:
        """The client used up its share of the turn: pause it until a later turn."""
        if not self.paused & PAUSE_SHARE and self.connection is not None:
            self.pause(PAUSE_SHARE)
            self.pending_work.over_share.append(self)
            self.pending_work.schedule_end()
        return 0

    cdef int work(self, bint resumed) except -1:
        """Handle frames within the client's share of the turn. `resumed`: the client waited for this turn and
        gets some work done even if the turn's time is up. If a handler raises, the client is closed."""
        try:
            return self.handle_frames(resumed)
        except Exception:
            self.working = False
            self.pending_work.end_lending()
            self.begin_close(None)
            raise

    cdef int handle_frames(self, bint resumed) except -1:
        cdef Operation op
        cdef Outcome outcome = NEED_MORE
        cdef const char* data = self.read_buffer.data     # valid until `keep_unparsed`
        cdef Py_ssize_t size = 0 if self.has_unhandled else self.read_buffer.size
        cdef Py_ssize_t used = 0
        cdef Py_ssize_t min_used = MIN_WORK_BYTES       # handled even if the turn's time is up
        cdef Py_ssize_t next_check = MIN_WORK_BYTES     # of the clock
        cdef uint64_t before = self.in_messages
        cdef PendingWork pending_work = self.pending_work
        cdef uint64_t now_ns = monotonic_ns(), end_ns = now_ns + pending_work.turn_ns // 2
        cdef bint subscribed = False
        cdef bint share_used = not resumed and pending_work.end_scheduled and now_ns >= pending_work.ends_ns
        op.frame = 0
        pending_work.lend(view(data, size))
        self.working = True
        pending_work.cost = 0
        while used < size and not self.closing and not self.connect_pending:
            if not self.authorized and (data[used] | 0x20) != c'c':
                self.begin_close(b"Authorization Violation")
                break
            outcome = parse(data + used, size - used, &self.engine.bounds, &op)
            if outcome != FOUND:
                self.close_if_invalid(outcome, &op)
                break
            # An UNSUB with a maximum right after its SUB is handled in this turn, before any delivery.
            if (
                share_used and not (subscribed and op.verb == VERB_UNSUB)
                and (used >= min_used or self.is_postponable(&op))
            ):
                self.has_unhandled = True
                self.use_up_share()
                break
            used += op.frame
            subscribed = op.verb == VERB_SUB
            self.handle(&op)
            check(self.read_buffer.data == data, b"what was read stays in place until it is parsed")
            if used >= next_check or pending_work.cost >= CLOCK_CHECK_COST:
                next_check = used + CLOCK_CHECK_BYTES
                if pending_work.time_is_up() or monotonic_ns() >= end_ns:
                    share_used = True
                    min_used = 0
        if self.in_messages != before:
            self.active_ms = pending_work.now_ms
            if size < MAX_SINGLE_BYTES and self.in_messages == before + 1 and op.reply.size:
                pending_work.note_waiting(self, now_ns)
            elif size >= MIN_BULK_BYTES:
                self.bulk_ns = now_ns
        if self.closing:
            used = self.read_buffer.size
        self.working = False
        pending_work.end_lending()
        self.read_buffer.keep_unparsed(used, op.frame if outcome == NEED_MORE else 0)
        if self.connect_pending and self.read_buffer.partial_bytes > MAX_READ_AHEAD_BYTES:
            self.pause(PAUSE_CONNECT)
        return 0

    cdef bint is_postponable(self, const Operation* op) noexcept:
        """Whether this operation is left for a later turn if the turn's time is up."""
        if op.verb == VERB_CONNECT or op.verb == VERB_SUB:
            return True
        return (op.verb == VERB_PUB or op.verb == VERB_HPUB) and is_mq9_subject(op.subject)

    def wait(self) -> None:
        """A CONNECT is being checked: handle nothing that came after it until `proceed`."""
        self.connect_pending = True

    def proceed(self) -> None:
        """The CONNECT was accepted: answer it and handle what came after it."""
        self.connect_pending = False
        self.paused &= ~PAUSE_CONNECT
        if not self.closing:
            self.ok()
        if not self.working and self.connection is not None:
            self.read_buffer.add_read(0)
            self.work(False)
            self.end_if_left()
            self.read_unless_paused()

    cdef int handle(self, const Operation* op) except -1:
        if op.verb == VERB_PUB or op.verb == VERB_HPUB:
            return self.publish(op)
        if op.verb == VERB_SUB:
            return self.subscribe(op)
        if op.verb == VERB_UNSUB:
            return self.unsubscribe(op)
        if op.verb == VERB_PING:
            self.control_operations += 1
            self.write_line(PONG_LINE)
            return self.note_ping()
        if op.verb == VERB_CONNECT:
            self.pending_work.cost += CLOCK_CHECK_COST
            self.connection.connect(to_bytes(op.payload))
        elif op.verb == VERB_PONG:
            return self.ponged()
        elif op.verb == VERB_ERROR:
            return self.begin_close(None)
        return 0

    def ping(self) -> None:
        """Send a PING and measure the round trip."""
        self.pinged_ns = time.monotonic_ns()
        self.ping_is_out = True
        self.write_line(PING_LINE)

    def time_round_trip(self) -> None:
        """Measure the round trip if it is unknown and the client answers PINGs."""
        # A client without `lang` may be a human on telnet: do not ping it.
        known = self.rtt_ns != 0 or self.ping_is_out
        if not known and self.past_first_ping and self.lang is not None and not self.closing:
            self.ping()

    cdef int note_ping(self) except -1:
        """The client sent a PING, which is answered, or a PONG."""
        cdef bytes waiting = self.after_first_ping
        self.past_first_ping = True
        if waiting is not None:
            self.after_first_ping = None
            self.write_line(view_of(waiting))
        return 0

    cdef int ponged(self) except -1:
        self.note_ping()
        if self.ping_is_out:
            self.rtt_ns = max(<uint64_t>time.monotonic_ns() - self.pinged_ns, <uint64_t>1)
            self.ping_is_out = False
        return 0

    cdef int publish(self, const Operation* op) except -1:
        cdef uint64_t size = <uint64_t>(op.header.size + op.payload.size)
        cdef bint needs_check
        self.in_messages += 1
        self.in_bytes += size
        self.engine.in_messages += 1
        self.engine.in_bytes += size
        if op.verb == VERB_HPUB and not self.headers:
            return self.begin_close(None)
        if self.pedantic and (has_wildcard(op.subject) or not valid_subject(op.subject)):
            self.error(b"Invalid Publish Subject")
        if op.header.size and asks_for_trace(op.header) and self.publish_traced(op):
            return 0
        needs_check = self.permissions is not None or is_reserved(op.subject) or is_routed_reply(op.reply)
        if needs_check and not self.check_publish(op):
            return 0
        self.ok()
        if op.subject.size and op.subject.data[0] == c'$':
            return self.engine.publish_to_broker(self, op)
        return self.engine.router.publish(self, op)

    cdef bint publish_traced(self, const Operation* op) except *:
        """Publish a message with a Nats-Trace-Dest header; false if it names no valid destination."""
        cdef Trace trace = read_trace(self, op)
        cdef View destination
        if trace is None:
            return False
        self.pending_work.cost += CLOCK_CHECK_COST
        destination = view_of(trace.destination)
        if is_reserved(destination) or not self.permits_publish(destination):
            self.violate(b'Permissions Violation for Publish to "' + trace.destination + b'"')
            return True
        violation = self.publish_violation(op)
        if violation is not None:
            trace.error = violation.decode("utf-8", "replace")
            self.violate(violation)
        else:
            self.ok()
            self.deliver_traced(op, trace)
        self.engine.tracer.send(trace)
        return True

    cdef int deliver_traced(self, const Operation* op, Trace trace) except -1:
        if not is_mq9_subject(op.subject):
            return self.engine.tracer.publish(trace, op)
        if not trace.only:
            return self.engine.publish_to_mailboxes(self, op)
        trace.error = "Not delivered because a mailbox takes no message that is only to be traced"
        self.pending_work.schedule_end()
        return self.engine.mailbox_writer.refuse(self, op.reply, "bad_request: nats_trace_only")

    cdef bint check_publish(self, const Operation* op) except *:
        """Whether the client may publish this; if not, it gets -ERR."""
        violation = self.publish_violation(op)
        if violation is not None:
            self.violate(violation)
        return violation is None

    cdef bint permits_publish(self, View subject) except *:
        return (
            self.permissions is None or self.permissions.may_publish(subject)
            or self.responses is not None and self.responses.allows(subject, self.pending_work.now_ms)
        )

    cdef bint may_name(self, View address) except *:
        return self.permissions is None or self.permissions.may_name(address)

    def may_publish(self, bytes subject not None) -> bool:
        """Whether the client may publish to the literal subject. The result is not cached: a page of the
        bulletin board asks for hundreds of subjects."""
        cdef SubjectFilter publish = None if self.permissions is None else self.permissions.publish
        return publish is None or publish.check(view_of(subject))

    cdef bytes publish_violation(self, const Operation* op):
        """nats-server's sentence for a publish that is not allowed, or None. The broker itself publishes the
        replies to `$mq9.` requests, so the client must be allowed to publish or subscribe to them."""
        if is_reserved(op.subject) or not self.permits_publish(op.subject):
            return b'Permissions Violation for Publish to "' + to_bytes(op.subject) + b'"'
        if op.reply.size == 0:
            return None
        if not is_routed_reply(op.reply) and (
            self.permissions is None or not is_mq9_subject(op.subject)
            or self.permissions.may_publish(op.reply)
            or self.permissions.may_subscribe(op.reply, empty_view())
        ):
            return None
        return b'Permissions Violation for Publish with Reply of "' + to_bytes(op.reply) + b'"'

    cdef int close_if_invalid(self, Outcome outcome, const Operation* op) except -1:
        """Close the connection after a protocol error, with nats-server's -ERR for it, if it has one."""
        if op.verb == VERB_HPUB and op.frame and not self.headers:
            return self.begin_close(None)
        if outcome == NEED_MORE:
            return 0
        if outcome == LINE_TOO_LONG:
            return self.begin_close(b"maximum control line exceeded")
        if outcome == PAYLOAD_TOO_LARGE:
            self.trace_too_large(op)
            return self.begin_close(b"Maximum Payload Violation")
        return self.begin_close(b"Unknown Protocol Operation" if outcome == BAD_VERB else None)

    cdef int trace_too_large(self, const Operation* op) except -1:
        """Trace a message larger than max_payload, if the part that was read has the header."""
        cdef Trace trace = None
        if op.header.size and self.headers and asks_for_trace(op.header):
            trace = read_trace(self, op)
        if trace is not None and self.permits_publish(view_of(trace.destination)):
            trace.error = "maximum payload exceeded"
            self.engine.tracer.send(trace)
        return 0

    def resume_writing(self) -> None:
        """The transport is below its low-water mark: write what waits and let consumers catch up."""
        self.engine.delivery.writable_again(self)

    def closed(self) -> None:
        """The connection is closed: end its subscriptions. What it had in flight goes back to its groups."""
        cdef Subscription subscription
        self.closing = True
        self.connection = None
        self.descriptor = -1
        self.out.discard()
        subscriptions, self.subscriptions = self.subscriptions, {}
        self.engine.unsubscribed += <uint64_t>len(subscriptions)
        awaiting_answers, self.awaiting_answers, self.parked = self.awaiting_answers, {}, {}
        for subscription in [*subscriptions.values(), *awaiting_answers]:
            self.engine.remove_subscription(subscription)
