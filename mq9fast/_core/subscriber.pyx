"""A client's subscriptions and permissions; the contract is in subscriber.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View, empty_view, same, slice_from, starts_with, to_bytes, view_of
from mq9fast._core.engine cimport Engine
from mq9fast._core.protocol.address cimport split_filter
from mq9fast._core.protocol.literals cimport EVENT_PREFIX, MSG_PREFIX, OK_LINE, SYSTEM_QUEUE
from mq9fast._core.protocol.parser cimport Operation
from mq9fast._core.protocol.subject cimport count_tokens, is_mq9_subject, valid_subject
from mq9fast._core.pubsub.client cimport CLOCK_CHECK_COST, Client, PendingWork, Subscription
from mq9fast._core.pubsub.permissions cimport Permissions
from mq9fast._core.pubsub.responses cimport responses_for


cdef class Subscriber(Client):
    """What `Session` inherits: SUB, UNSUB and permissions. It has the arguments of a Session."""

    def __cinit__(self, PendingWork pending_work, uint64_t cid, Engine engine not None, *_, **__):
        self.engine = engine

    def permit(self, Permissions permissions) -> None:
        """Set the client's permissions; None allows all. Subscriptions that they forbid end with -ERR."""
        cdef Subscription subscription
        cdef View subject, queue
        if permissions is self.permissions:
            # Repeated CONNECTs must not walk all subscriptions.
            return
        self.permissions = permissions
        self.responses = responses_for(permissions, self.responses)
        for subscription in list(self.subscriptions.values()):
            subject = view_of(subscription.subject)
            queue = empty_view() if subscription.queue is None else view_of(subscription.queue)
            if permissions is None:
                subscription.filter = None
            elif permissions.may_subscribe(subject, queue):
                subscription.filter = permissions.filter_of(subject, queue)
            else:
                del self.subscriptions[subscription.sid]
                self.engine.unsubscribed += 1
                self.engine.remove_subscription(subscription)
                self.refuse_subscription(subject, queue, b' (sid "' + subscription.sid + b'")')

    def may_subscribe(self, bytes subject not None) -> bool:
        """Whether the client may subscribe to the subject, without a queue group."""
        return self.permissions is None or self.permissions.may_subscribe(view_of(subject), empty_view())

    cdef int subscribe(self, const Operation* op) except -1:
        """SUB. If the sid is in use, its subscription stays, as on nats-server."""
        cdef bytes sid = to_bytes(op.sid)
        cdef bytes queue = to_bytes(op.queue) if op.queue.size else None
        cdef Subscription subscription = self.subscriptions.get(sid)
        self.control_operations += 1
        if subscription is not None and subscription.max_reached():
            self.engine.end_at_maximum(subscription)
            subscription = None
        if self.is_full():
            self.engine.refused_subscriptions += 1
            self.error(b"maximum subscriptions exceeded")
            return 0
        if subscription is not None:
            return self.ok()
        # nats-server reserves this queue group.
        if same(op.queue, SYSTEM_QUEUE):
            return self.refuse_subscription(op.subject, op.queue)
        if self.permissions is not None and not self.permissions.may_subscribe(op.subject, op.queue):
            return self.refuse_subscription(op.subject, op.queue)
        if 0 < self.limits.max_subscription_tokens < count_tokens(op.subject):
            return self.refuse_subscription(op.subject, empty_view(), b", too many tokens")
        if not valid_subject(op.subject):
            self.error(b"Invalid Subject")
            return 0
        if is_mq9_subject(op.subject):
            subscription = self.subscribe_to_mailbox(op, sid, queue)
            if subscription is None:
                return self.refuse_subscription(op.subject, op.queue)
        else:
            subscription = Subscription(self, sid, to_bytes(op.subject), queue)
            if self.permissions is not None:
                subscription.filter = self.permissions.filter_of(op.subject, op.queue)
            self.engine.router.subscribe(subscription)
        self.subscriptions[sid] = subscription
        self.engine.subscribed += 1
        self.active_ms = self.pending_work.now_ms
        return self.ok()

    cdef bint is_full(self) except *:
        """Whether another subscription would be past the limit."""
        cdef Py_ssize_t limit = self.limits.max_subscriptions
        if limit == 0 or len(self.subscriptions) < limit:
            return False
        self.engine.end_subscriptions_at_maximum()
        return len(self.subscriptions) >= limit

    cdef Subscription subscribe_to_mailbox(self, const Operation* op, bytes sid, bytes queue):
        """Subscribe to `$mq9.AI.MAILBOX.MSG.{mail_address}[.priority|.*]`, or to `EVENT.{mail_address}[.*]`
        without a queue; None for anything else."""
        cdef View address
        cdef int ranks = 0
        if starts_with(op.subject, EVENT_PREFIX) and queue is None:
            return self.engine.delivery.events.attach(self, sid, op.subject)
        if not starts_with(op.subject, MSG_PREFIX):
            return None
        if not split_filter(slice_from(op.subject, MSG_PREFIX.size), &address, &ranks):
            return None
        if not self.reads_mailboxes:
            self.reads_mailboxes = True
            self.connection.mailbox_subscribed()
        self.pending_work.cost += CLOCK_CHECK_COST
        return self.engine.delivery.attach(self, sid, to_bytes(op.subject), queue, address, ranks)

    cdef int refuse_subscription(self, View subject, View queue, bytes end=b"") except -1:
        """Send -ERR for a forbidden subscription, with `end` as the end of the sentence."""
        sentence = b'Permissions Violation for Subscription to "' + to_bytes(subject) + b'"'
        if queue.size:
            sentence += b' using queue "' + to_bytes(queue) + b'"'
        return self.violate(sentence + end)

    cdef int unsubscribe(self, const Operation* op) except -1:
        """UNSUB sid [max]. The maximum counts all deliveries of the subscription."""
        cdef bytes sid = to_bytes(op.sid)
        cdef Subscription subscription = self.subscriptions.get(sid)
        self.control_operations += 1
        if subscription is None:
            if self.awaiting_answers and not op.maximum:
                self.engine.give_back(self, sid)
        elif not op.maximum:
            del self.subscriptions[sid]
            self.engine.unsubscribed += 1
            self.engine.remove_subscription(subscription)
            self.active_ms = self.pending_work.now_ms
        elif not subscription.max_reached():
            self.end_after(subscription, op.maximum)
            self.active_ms = self.pending_work.now_ms
        return self.ok()

    cdef int end_after(self, Subscription subscription, uint64_t maximum) except -1:
        """End the subscription after `maximum` deliveries, or now if it has had as many."""
        if maximum > subscription.delivered:
            subscription.maximum = maximum
            return 0
        subscription.maximum = subscription.delivered
        self.pending_work.max_reached.append(subscription)
        return self.pending_work.schedule_end()

    cdef int violate(self, bytes sentence) except -1:
        self.engine.violations += 1
        self.error(sentence)
        return 0

    cdef int ok(self) except -1:
        return self.write_line(OK_LINE) if self.verbose else 0
