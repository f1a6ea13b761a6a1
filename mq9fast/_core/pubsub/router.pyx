"""Where a plain subject goes; see router.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View, empty_view, to_bytes, view_of
from mq9fast._core.protocol.parser cimport Operation
from mq9fast._core.protocol.subject cimport is_ours
from mq9fast._core.pubsub.client cimport PendingWork, Client, Subscription
from mq9fast._core.pubsub.match_cache cimport Match
from mq9fast._core.pubsub.sublist cimport Sublist


cdef bytes NO_RESPONDERS = b"NATS/1.0 503\r\nNats-Subject: "


cdef class Router:
    """Plain publish and subscribe.

    `seed` is a random number of 64 bits.
    """

    def __cinit__(self, PendingWork pending_work not None, uint64_t seed):
        self.pending_work = pending_work
        self.sublist = Sublist(seed)
        self.dice = seed | 1
        self.limits = pending_work.limits

    cdef int publish(self, Client sender, const Operation* op) except -1:
        cdef Py_ssize_t delivered = self.deliver(sender, op.subject, op.reply, op.header, op.payload)
        if delivered == 0 and op.reply.size:
            self.nobody_took(sender, op)
        return 0

    cdef int answer(self, View reply, View body) except -1:
        """Publish a reply of the broker's own. One asked for on a subject of ours is nobody's."""
        if not is_ours(reply):
            self.deliver(None, reply, empty_view(), empty_view(), body)
        return 0

    def reply(self, bytes subject not None, bytes body not None) -> None:
        """Publish `body` on `subject` as the broker; nothing happens if the subject is empty."""
        if subject:
            self.answer(view_of(subject), view_of(body))

    cdef Py_ssize_t deliver(
        self, Client sender, View subject, View reply, View header, View payload
    ) except -1:
        """Send to all who match; returns how many that were."""
        cdef Match* match = self.sublist.match(subject)
        cdef Subscription subscription
        cdef Py_ssize_t delivered = 0
        cdef Py_ssize_t i
        cdef Py_ssize_t start = match.plain
        if self.sublist.collected:
            self.pending_work.cost += self.sublist.collected
            self.sublist.collected = 0
        if match.plain + match.groups == 0:
            return 0
        self.pending_work.cost += match.plain + match.groups
        for i in range(match.plain):
            subscription = <Subscription>match.subscriptions[i]
            if self.can_take(subscription, sender, subject):
                subscription.send(subject, reply, header, payload)
                self.press(sender, subscription.client)
                delivered += 1
        for i in range(match.groups):
            delivered += self.deliver_to_group(
                match, start, match.ends[i], sender, subject, reply, header, payload
            )
            start = match.ends[i]
        return delivered

    cdef Py_ssize_t deliver_to_group(
        self, Match* match, Py_ssize_t start, Py_ssize_t end, Client sender,
        View subject, View reply, View header, View payload,
    ) except -1:
        """Send to one member, beginning the search for one that can take it at random."""
        cdef Py_ssize_t count = end - start
        cdef Py_ssize_t first = self.pick(count)
        cdef Py_ssize_t i
        cdef Subscription subscription
        for i in range(count):
            subscription = <Subscription>match.subscriptions[start + (first + i) % count]
            if self.can_take(subscription, sender, subject):
                subscription.send(subject, reply, header, payload)
                self.press(sender, subscription.client)
                return 1
        return 0

    cdef bint can_take(self, Subscription subscription, Client sender, View subject) except *:
        return (
            not subscription.client.closing and not subscription.max_reached()
            and (subscription.client is not sender or sender.echo)
            and (subscription.filter is None or subscription.filter.admits(subject))
        )

    cdef int press(self, Client sender, Client receiver) except -1:
        """A receiver that does not keep up slows its senders down before it is cut off."""
        if sender is None or receiver.writable:
            return 0
        if receiver.out.size > self.limits.max_receiver_bytes():
            sender.stall()
        return 0

    cdef int nobody_took(self, Client sender, const Operation* op) except -1:
        """Nobody was sent the message: its sender is told if it asked for that."""
        if op.reply.size and sender.no_responders and sender.headers:
            self.no_responders(sender, op.subject, op.reply)
        return 0

    cdef int no_responders(self, Client sender, View subject, View reply) except -1:
        """Tell a requester that nobody listens, on its own subscription to the reply (status 503)."""
        cdef Match* match
        cdef Subscription subscription
        cdef Py_ssize_t i
        if is_ours(reply):
            return 0
        match = self.sublist.match(reply)
        for i in range(match.plain):
            subscription = <Subscription>match.subscriptions[i]
            if subscription.client is sender and not subscription.max_reached():
                header = NO_RESPONDERS + to_bytes(subject) + b"\r\n\r\n"
                return subscription.write(reply, empty_view(), view_of(header), empty_view())
        return 0

    cdef int subscribe(self, Subscription subscription) except -1:
        """Add a subscription whose subject is valid and plain."""
        return self.sublist.insert(subscription)

    cdef int unsubscribe(self, Subscription subscription) except -1:
        self.sublist.remove(subscription)
        return 0
