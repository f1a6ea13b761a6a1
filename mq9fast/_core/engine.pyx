"""What every session of a broker shares; see engine.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.broker_time cimport BrokerTime
from mq9fast._core.base.clock cimport is_readable, monotonic_ns, poll_busily
from mq9fast._core.delivery.delivery cimport Delivery, MailboxSubscription
from mq9fast._core.mailbox.mailbox cimport Directory
from mq9fast._core.mailbox_writer cimport Intake
from mq9fast._core.protocol.read_buffer cimport Scratch
from mq9fast._core.pubsub.client cimport Agenda, Subscription
from mq9fast._core.pubsub.message_trace cimport Tracer
from mq9fast._core.pubsub.router cimport Router

cdef enum:
    # A turn is brisk that began within so many times busy_poll, which being woken is a part of.
    PATIENCE = 2
    # More than this between two looks at the time is a gap. The clock's ticks alone make four a second.
    LONGEST_GAP_MS = 500


cdef class Core:
    """What every session of a broker shares. Sizes are in bytes."""

    def __cinit__(
        self, Agenda agenda not None, Router router not None, Delivery delivery not None,
        Intake intake not None, *, Py_ssize_t read_bytes, Py_ssize_t control_line_bytes,
        Py_ssize_t payload_bytes, Py_ssize_t most_subscriptions,
    ):
        self.agenda = agenda
        self.router = router
        self.delivery = delivery
        self.intake = intake
        self.time = BrokerTime()
        self.tracer = Tracer(router)
        self.scratch = Scratch(read_bytes)
        self.bounds.control_line_bytes = control_line_bytes
        self.bounds.payload_bytes = payload_bytes
        self.most_subscriptions = most_subscriptions
        self.ready_descriptor = -1

    cpdef void tell_time(self) noexcept:
        """Have everybody go by the time of now.

        After a gap in which the broker did not run, no deadline passes before `judge` is called: clients may
        have renewed their mailboxes meanwhile, and what they sent waits in sockets that are still to be read.
        """
        cdef Directory directory = self.intake.directory
        cdef uint64_t now_ms = self.time.read()
        if now_ms > directory.now_ms + LONGEST_GAP_MS:
            self.overslept = True
        self.agenda.now_ms = directory.now_ms = now_ms
        if not self.overslept:
            directory.judged_ms = now_ms

    cpdef void judge(self) noexcept:
        """Have all deadlines pass that are due, after a gap too."""
        cdef Directory directory = self.intake.directory
        self.overslept = False
        self.agenda.now_ms = directory.now_ms = directory.judged_ms = self.time.read()

    cdef bint hold(self) noexcept:
        """Begin a turn that may end at once, if none is under way; whoever did it then calls `let_go`."""
        if self.agenda.awake or self.ready_descriptor < 0:
            return False
        self.tell_time()
        self.brisk = monotonic_ns() - self.ended_ns < PATIENCE * 1000 * self.busy_poll_us
        self.agenda.held = True
        return True

    cdef int let_go(self, bint at_once) except -1:
        """The turn that was begun ends now, if that may be and no other socket has a part in it, or soon."""
        self.agenda.held = False
        if not self.agenda.awake:
            return 0
        if not at_once or is_readable(self.ready_descriptor):
            self.agenda.wake()
            return 0
        try:
            self.end_turn()
        except Exception as error:
            self.failed(error)
        self.ended_ns = monotonic_ns()
        if self.brisk:
            self.poll_soon()
        return 0

    cpdef void busy_poll(self) noexcept:
        """Look for what comes next for a while, without going to sleep: being woken takes several times as
        long as a turn of one message. Called for behind brisk turns only, so that a quiet broker sleeps."""
        if not self.agenda.awake:
            with nogil:
                poll_busily(self.ready_descriptor, self.busy_poll_us * 1000)

    cpdef int end_turn(self) except -1:
        """Hand on what came up in the turn: what is for the store, then one write per connection."""
        cdef Agenda agenda = self.agenda
        agenda.begin()
        try:
            self.finish_exhausted()
            if self.intake.turn.bytes or self.intake.turn.deferred or self.delivery.waiting:
                self.commit()
                self.finish_exhausted()
        finally:
            self.serve_clients()
            if agenda.awake:
                # What came up meanwhile has its turn from here on.
                agenda.ends_ns = monotonic_ns() + agenda.turn_ns
        return 0

    cdef int serve_clients(self) except -1:
        """Write to clients, close them or read on from them, whatever failed before. A client that cannot be
        served keeps no other from it."""
        cdef Agenda agenda = self.agenda
        try:
            agenda.flush()
        finally:
            try:
                agenda.close_doomed()
            finally:
                if not self.finishing:
                    if agenda.stalled:
                        self.stalled()
                    agenda.resume_sated()
        return 0

    cdef int drop(self, Subscription subscription) except -1:
        """End a subscription where messages are routed; its client forgets it itself."""
        if isinstance(subscription, MailboxSubscription):
            subscription.client.left_mailbox()
            return self.delivery.detach(<MailboxSubscription>subscription)
        return self.router.unsubscribe(subscription)

    cdef int finish(self, Subscription subscription) except -1:
        """End a subscription of its client that had its last delivery."""
        del subscription.client.subscriptions[subscription.sid]
        self.unsubscribed += 1
        if isinstance(subscription, MailboxSubscription):
            subscription.client.left_mailbox()
            return self.delivery.retire(<MailboxSubscription>subscription)
        return self.router.unsubscribe(subscription)

    cpdef int finish_exhausted(self) except -1:
        """End the subscriptions that had their last delivery since the last call."""
        cdef Subscription subscription
        if self.agenda.exhausted:
            exhausted, self.agenda.exhausted = self.agenda.exhausted, []
            for subscription in exhausted:
                if subscription.client.subscriptions.get(subscription.sid) is subscription:
                    self.finish(subscription)
        return 0
