"""Routing of plain NATS messages; the contract, and who uses it, is in router.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.check cimport check
from mq9fast._core.base.view cimport View, empty_view, to_bytes, view_of
from mq9fast._core.protocol.parser cimport Operation
from mq9fast._core.protocol.subject cimport begins_with_wildcard, is_mq9_subject
from mq9fast._core.pubsub.client cimport PendingWork, Client, Subscription
from mq9fast._core.pubsub.match_cache cimport Match
from mq9fast._core.pubsub.sublist cimport Sublist


cdef bytes NO_RESPONDERS = b"NATS/1.0 503\r\nNats-Subject: "


cdef class Router:
    """One for each broker. `seed`: 64 random bits that clients must not know."""

    def __cinit__(self, PendingWork pending_work not None, uint64_t seed):
        self.pending_work = pending_work
        self.sublist = Sublist(seed)
        self.random_state = seed | 1
        self.limits = pending_work.limits

    cdef int publish(self, Client sender, const Operation* op) except -1:
        cdef Py_ssize_t delivered = self.deliver(sender, op.subject, op.reply, op.header, op.payload)
        if delivered == 0 and op.reply.size:
            self.report_no_responders(sender, op)
        return 0

    cdef int answer(self, Client requester, View reply, View body) except -1:
        """Send the broker's reply to a `$mq9.` request to the matching subscriptions of the client that sent
        the request, or, if it has none, to those of others.

        Nobody gets the reply to a client that has left, nor one whose subject begins with `$mq9.`.
        """
        return self.answer_with_header(requester, reply, empty_view(), body)

    cdef int answer_with_header(self, Client requester, View reply, View header, View body) except -1:
        cdef Match* match
        if requester.closing or is_mq9_subject(reply):
            return 0
        match = self.match(reply)
        if not self.deliver_answer(match, requester, reply, header, body):
            self.deliver_answer(match, None, reply, header, body)
        return 0

    def reply(
        self, Client requester not None, bytes subject not None, bytes body not None,
        bytes header not None=b"",
    ) -> None:
        """Send the reply `body` to a request of `requester`, with a block of headers if that is not empty.
        Nothing happens if the `subject` is empty."""
        if subject:
            self.answer_with_header(requester, view_of(subject), view_of(header), view_of(body))

    cdef Py_ssize_t deliver_answer(
        self, Match* match, Client receiver, View subject, View header, View body
    ) except -1:
        """Deliver a reply to the subscriptions of `receiver`, or of any client if that is None. Returns the
        number of deliveries."""
        cdef Subscription subscription
        cdef Py_ssize_t delivered = 0
        cdef Py_ssize_t start = match.plain
        cdef Py_ssize_t group, i, count, first
        for i in range(match.plain):
            check(self.sublist.is_valid(match), b"a match is read while it is valid")
            subscription = <Subscription>match.subscriptions[i]
            if self.takes_answer(subscription, receiver, subject):
                subscription.send(subject, empty_view(), header, body)
                delivered += 1
        for group in range(match.groups):
            count = match.ends[group] - start
            first = self.pick_random(count)
            for i in range(count):
                check(self.sublist.is_valid(match), b"a match is read while it is valid")
                subscription = <Subscription>match.subscriptions[start + (first + i) % count]
                if self.takes_answer(subscription, receiver, subject):
                    subscription.send(subject, empty_view(), header, body)
                    delivered += 1
                    break
            start = match.ends[group]
        return delivered

    cdef bint takes_answer(self, Subscription subscription, Client receiver, View subject) except *:
        """Whether a matching subscription gets a reply. One that begins with a wildcard does not: its client
        would read along with everybody."""
        if receiver is not None and subscription.client is not receiver:
            return False
        return (
            not begins_with_wildcard(view_of(subscription.subject))
            and self.accepts(subscription, None, subject)
        )

    cdef Match* match(self, View subject) except NULL:
        """The receivers of a message on `subject`. Their number is added to the work of the turn."""
        cdef Match* match = self.sublist.match(subject)
        if self.sublist.collected:
            self.pending_work.cost += self.sublist.collected
            self.sublist.collected = 0
        self.pending_work.cost += match.plain + match.groups
        return match

    cdef Py_ssize_t deliver(
        self, Client sender, View subject, View reply, View header, View payload
    ) except -1:
        """Deliver a message to all matching subscriptions; returns the number of deliveries."""
        cdef Match* match = self.match(subject)
        cdef Subscription subscription
        cdef Py_ssize_t delivered = 0
        cdef Py_ssize_t i
        cdef Py_ssize_t start = match.plain
        for i in range(match.plain):
            check(self.sublist.is_valid(match), b"a match is read while it is valid")
            subscription = <Subscription>match.subscriptions[i]
            if self.accepts(subscription, sender, subject):
                subscription.send(subject, reply, header, payload)
                self.stall_sender(sender, subscription.client)
                delivered += 1
        for i in range(match.groups):
            check(self.sublist.is_valid(match), b"a match is read while it is valid")
            delivered += self.deliver_to_group(
                match, start, match.ends[i], sender, subject, reply, header, payload
            )
            start = match.ends[i]
        return delivered

    cdef Py_ssize_t deliver_to_group(
        self, Match* match, Py_ssize_t start, Py_ssize_t end, Client sender,
        View subject, View reply, View header, View payload,
    ) except -1:
        """Deliver to one member: the first that accepts the message, from a random one on."""
        cdef Py_ssize_t count = end - start
        cdef Py_ssize_t first = self.pick_random(count)
        cdef Py_ssize_t i
        cdef Subscription subscription
        for i in range(count):
            check(self.sublist.is_valid(match), b"a match is read while it is valid")
            subscription = <Subscription>match.subscriptions[start + (first + i) % count]
            if self.accepts(subscription, sender, subject):
                subscription.send(subject, reply, header, payload)
                self.stall_sender(sender, subscription.client)
                return 1
        return 0

    cdef bint accepts(self, Subscription subscription, Client sender, View subject) except *:
        return (
            not subscription.client.closing and not subscription.max_reached()
            and (subscription.client is not sender or sender.echo)
            and (subscription.filter is None or subscription.filter.allows(subject))
        )

    cdef int stall_sender(self, Client sender, Client receiver) except -1:
        """Stall the sender if the receiver is slow, so that the receiver is not disconnected at once."""
        if sender is None or receiver.writable:
            return 0
        if receiver.out.size > self.limits.max_receiver_bytes():
            sender.stall_for(receiver)
        return 0

    cdef int report_no_responders(self, Client sender, const Operation* op) except -1:
        """The message had no receivers: send a 503 reply if the sender's CONNECT has no_responders."""
        if op.reply.size and sender.no_responders and sender.headers:
            self.send_no_responders(sender, op.subject, op.reply)
        return 0

    cdef int send_no_responders(self, Client sender, View subject, View reply) except -1:
        """Send status 503 on the sender's own subscription to the reply subject."""
        cdef Match* match
        cdef Subscription subscription
        cdef Py_ssize_t i
        if is_mq9_subject(reply):
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
