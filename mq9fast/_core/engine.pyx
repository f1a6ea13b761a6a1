"""What all sessions of a broker share; the contract is in engine.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.broker_time cimport BrokerTime
from mq9fast._core.base.clock cimport is_readable, monotonic_ns, poll_busily
from mq9fast._core.base.view cimport View, slice_from, starts_with, to_bytes
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.commit.commit_group cimport CommitGroup
from mq9fast._core.delivery.delivery cimport Delivery, MailboxSubscription
from mq9fast._core.delivery.events cimport EventSubscription
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.mailbox_writer cimport MailboxWriter
from mq9fast._core.protocol.literals cimport MAILBOX_PREFIX, SYSTEM_PREFIX
from mq9fast._core.protocol.parser cimport Operation
from mq9fast._core.protocol.read_buffer cimport Scratch
from mq9fast._core.protocol.subject cimport is_mq9_subject
from mq9fast._core.pubsub.client cimport CLOCK_CHECK_COST, Client, PendingWork, Subscription
from mq9fast._core.pubsub.message_trace cimport Tracer
from mq9fast._core.pubsub.router cimport Router
from mq9fast._core.storage.value_format cimport MIN_LOGGED_BYTES

cdef enum:
    # A turn is back-to-back if it begins less than this factor times `busy_poll` after the last turn ended.
    # The time to wake up counts.
    BACK_TO_BACK_FACTOR = 2
    # After a larger read the broker does not poll: it would read what follows in small pieces.
    MAX_POLLED_BYTES = 16384
    # The clock is read at least four times a second. A longer step means that the broker did not run.
    LONGEST_GAP_MS = 500


cdef class Engine:
    """One for each broker. Sizes are in bytes.

    `pipeline.commit()` writes the commit group to the store and lets consumers catch up.
    `pipeline.clients_stalled()` is called at the end of a turn that leaves clients stalled.
    `ready_descriptor` is readable while a socket of the `loop` is, or -1: then no turn ends together with its
    read.
    """

    def __cinit__(
        self, PendingWork pending_work not None, Router router not None, Delivery delivery not None,
        MailboxWriter mailbox_writer not None, Accumulator accumulator not None,
        BrokerTime time not None, *, pipeline, commands, loop,
        int ready_descriptor, Py_ssize_t read_bytes, Py_ssize_t control_line_bytes, Py_ssize_t payload_bytes,
    ):
        self.pending_work = pending_work
        self.limits = pending_work.limits
        self.router = router
        self.delivery = delivery
        self.mailbox_writer = mailbox_writer
        self.accumulator = accumulator
        self.pipeline = pipeline
        self.commands = commands
        self.loop = loop
        self.ready_descriptor = ready_descriptor
        self.time = time
        self.tracer = Tracer(router)
        self.scratch = Scratch(read_bytes)
        self.bounds.control_line_bytes = control_line_bytes
        self.bounds.payload_bytes = payload_bytes
        pending_work.engine = self

    def schedule(self) -> None:
        """Have the event loop end the turn, once it has read its sockets."""
        self.update_clock()
        self.loop.call_soon(self.end_turn)

    cdef int publish_to_mailboxes(self, Client client, const Operation* op) except -1:
        """Handle a publish to a subject that begins with `$mq9.`."""
        cdef View rest
        self.pending_work.schedule_end()
        if not self.mailbox_writer.publish(client, op):
            rest = slice_from(op.subject, MAILBOX_PREFIX.size)
            self.pending_work.cost += CLOCK_CHECK_COST
            self.commands(to_bytes(rest), to_bytes(op.payload), client, to_bytes(op.reply))
        if self.accumulator.is_full(self.pending_work.hurried) or (
            self.accumulator.disk_behind and op.payload.size >= MIN_LOGGED_BYTES
        ):
            client.stall()
        return 0

    cdef int publish_to_broker(self, Client client, const Operation* op) except -1:
        """Handle a publish to a subject that begins with `$`. It may be for the broker itself."""
        if is_mq9_subject(op.subject):
            return self.publish_to_mailboxes(client, op)
        if self.system_requests is not None and starts_with(op.subject, SYSTEM_PREFIX):
            self.pending_work.schedule_end()
            self.pending_work.cost += CLOCK_CHECK_COST
            if self.system_requests(
                client, to_bytes(op.subject), to_bytes(op.payload), to_bytes(op.reply), to_bytes(op.header)
            ):
                return 0
        return self.router.publish(client, op)

    @property
    def max_payload(self) -> int:
        """The largest message, headers included, in bytes."""
        return self.bounds.payload_bytes

    @max_payload.setter
    def max_payload(self, Py_ssize_t size) -> None:
        self.bounds.payload_bytes = size

    cpdef void update_clock(self) noexcept:
        """Read the clock for this turn.

        After a gap in which the broker did not run, no deadline passes before `resume_expiry` is called:
        clients may have renewed their mailboxes meanwhile, and those messages are still in the sockets.
        """
        cdef MailboxIndex mailbox_index = self.delivery.mailbox_index
        cdef uint64_t now_ms = self.time.read()
        if now_ms > mailbox_index.now_ms + LONGEST_GAP_MS:
            self.after_gap = True
        self.pending_work.now_ms = mailbox_index.now_ms = now_ms
        if not self.after_gap:
            mailbox_index.let_pass(now_ms)

    cpdef void resume_expiry(self) noexcept:
        """Read the clock, and let all deadlines pass that are due, even after a gap."""
        cdef MailboxIndex mailbox_index = self.delivery.mailbox_index
        self.after_gap = False
        self.pending_work.now_ms = mailbox_index.now_ms = self.time.read()
        mailbox_index.let_pass(mailbox_index.now_ms)

    cdef bint begin_read(self) noexcept:
        """Begin a turn that may end with this read. If it returns true, the caller then calls `end_read`."""
        if self.pending_work.end_scheduled or self.ready_descriptor < 0:
            return False
        self.update_clock()
        self.back_to_back = (
            monotonic_ns() - self.ended_ns < BACK_TO_BACK_FACTOR * 1000 * self.limits.busy_poll
        )
        self.pending_work.in_read = True
        return True

    cdef int end_read(self, bint at_once, Py_ssize_t read_bytes) except -1:
        """End the turn now if `at_once` and no other socket is readable; else once the loop has read them."""
        self.pending_work.in_read = False
        if not self.pending_work.end_scheduled:
            return 0
        if not at_once or is_readable(self.ready_descriptor):
            self.schedule()
            return 0
        try:
            self.end_turn()
        except Exception as error:
            # Raising here would close the connection that was read, which is not at fault.
            self.loop.call_exception_handler({"message": "a turn failed", "exception": error})
        self.ended_ns = monotonic_ns()
        if self.back_to_back and read_bytes < MAX_POLLED_BYTES:
            self.loop.call_soon(self.busy_poll)
        return 0

    cpdef void busy_poll(self) noexcept:
        """Poll the sockets for a while without sleeping: waking up takes several times as long as a turn of
        one message. Scheduled after back-to-back turns only, so that a quiet broker sleeps."""
        if not self.pending_work.end_scheduled:
            with nogil:
                poll_busily(self.ready_descriptor, self.limits.busy_poll * 1000)

    cpdef int end_turn(self) except -1:
        """Commit what the turn gathered, let consumers catch up, then write once to each connection."""
        cdef PendingWork pending_work = self.pending_work
        pending_work.begin()
        try:
            self.commit()
        finally:
            try:
                self.serve_clients()
            finally:
                if pending_work.hurried and pending_work.over_share:
                    self.continue_in_hurry()
                else:
                    pending_work.resume_over_share()
                if pending_work.end_scheduled:
                    # Work that was added while this turn ended belongs to the next turn. Its time starts now.
                    pending_work.ends_ns = monotonic_ns() + pending_work.turn_ns
        return 0

    cdef int commit(self) except -1:
        cdef CommitGroup group
        self.end_subscriptions_at_maximum()
        if self.delivery.group_work.unstored:
            self.delivery.store_failures()
        group = self.accumulator.group
        if group.bytes or group.deferred or self.delivery.catch_up_queue.consumers:
            self.pipeline.commit()
            self.end_subscriptions_at_maximum()
        return 0

    cdef int serve_clients(self) except -1:
        """Write to clients and close them, even after a failure. A client that raises does not keep the
        others from being served."""
        cdef PendingWork pending_work = self.pending_work
        try:
            pending_work.flush()
        finally:
            try:
                pending_work.close_clients()
            finally:
                if pending_work.stalled:
                    self.pipeline.clients_stalled()
        return 0

    cdef int continue_in_hurry(self) except -1:
        """Continue with clients over their share, and commit what they sent before the sockets are read
        again: what a waiting client sends meanwhile is then committed without theirs."""
        cdef PendingWork pending_work = self.pending_work
        cdef bint is_scheduled = pending_work.end_scheduled
        cdef uint64_t began_ns = monotonic_ns()
        pending_work.in_read = True     # as at the end of a read, the end of the turn follows here
        try:
            pending_work.resume_over_share()
            pending_work.begin()
            self.commit()
        finally:
            try:
                self.serve_clients()
            finally:
                pending_work.in_read = False
                pending_work.note_work(monotonic_ns() - began_ns)
                if is_scheduled:
                    pending_work.end_scheduled = True
                elif pending_work.end_scheduled or pending_work.over_share:
                    pending_work.end_scheduled = True
                    self.schedule()
        return 0

    cdef int remove_subscription(self, Subscription subscription) except -1:
        """Remove a subscription from routing. The caller removes it from `client.subscriptions`."""
        if isinstance(subscription, MailboxSubscription):
            subscription.client.left_mailbox()
            return self.delivery.detach(<MailboxSubscription>subscription)
        if isinstance(subscription, EventSubscription):
            return self.delivery.events.detach(<EventSubscription>subscription)
        return self.router.unsubscribe(subscription)

    cdef int give_back(self, Client client, bytes sid) except -1:
        """UNSUB of a subscription that has ended: what it still holds goes back to its group, unless
        `ack_wait` lets it keep that."""
        cdef MailboxSubscription subscription
        self.pending_work.cost += CLOCK_CHECK_COST
        for subscription in list(client.awaiting_answers):
            if subscription.sid == sid:
                del client.awaiting_answers[subscription]
                self.delivery.detach(subscription)
        return 0

    cdef int end_at_maximum(self, Subscription subscription) except -1:
        """End a subscription that reached its maximum, and remove it from its client."""
        del subscription.client.subscriptions[subscription.sid]
        self.unsubscribed += 1
        if isinstance(subscription, MailboxSubscription):
            subscription.client.left_mailbox()
            return self.delivery.finish(<MailboxSubscription>subscription)
        if isinstance(subscription, EventSubscription):
            return self.delivery.events.detach(<EventSubscription>subscription)
        return self.router.unsubscribe(subscription)

    cdef int end_subscriptions_at_maximum(self) except -1:
        """End the subscriptions that reached their maximum since the last call."""
        cdef Subscription subscription
        if self.pending_work.max_reached:
            max_reached, self.pending_work.max_reached = self.pending_work.max_reached, []
            for subscription in max_reached:
                if subscription.client.subscriptions.get(subscription.sid) is subscription:
                    self.end_at_maximum(subscription)
        return 0
