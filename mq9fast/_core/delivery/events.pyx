"""Events of mailboxes; the contract, and who uses it, is in events.pxd."""

from functools import partial

from libc.stdint cimport uint64_t

from mq9fast._core.base.broker_time cimport BrokerTime
from mq9fast._core.base.view cimport View, empty_view, last_dot, slice_from, to_bytes, view, view_of
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.protocol.address cimport valid_address
from mq9fast._core.protocol.literals cimport EVENT_PREFIX
from mq9fast._core.pubsub.client cimport Client, PendingWork, Subscription

cdef bytes CREATED = b'{"event":"created"}'
cdef bytes EXPIRED = b'{"event":"expired"}'
cdef bytes ABSENT = b'{"event":"absent"}'


cdef class EventSubscription(Subscription):
    pass


cdef class Events:
    """One for each broker."""

    def __cinit__(
        self, MailboxIndex mailbox_index not None, PendingWork pending_work not None,
        Accumulator accumulator not None, BrokerTime time not None,
    ):
        self.mailbox_index = mailbox_index
        self.pending_work = pending_work
        self.accumulator = accumulator
        self.time = time
        self.watched = {}
        self.behind = {}

    @property
    def subscription_count(self) -> int:
        """Subscriptions to events."""
        return sum(map(len, self.watched.values()))

    cdef EventSubscription attach(self, Client client, bytes sid, View subject):
        """Subscribe to `EVENT.{mail_address}[.*]`; None if the subject is not of this form. The first event
        is the present state."""
        cdef EventSubscription subscription
        cdef View address = slice_from(subject, EVENT_PREFIX.size)
        cdef Py_ssize_t dot = last_dot(address)
        cdef bint detailed = address.size - dot == 2 and address.data[address.size - 1] == c'*'
        if detailed:
            address = view(address.data, max(dot, 0))
        if not valid_address(address):
            return None
        subscription = EventSubscription(client, sid, to_bytes(subject), None)
        subscription.address = to_bytes(address)
        subscription.detailed = detailed
        self.watched.setdefault(subscription.address, {})[subscription] = None
        # The state is that of this moment: what follows in the same commit group is an event after it.
        subscription.behind = True
        self.accumulator.group.defer(
            partial(self.send_first, subscription, self.state_of(subscription.address))
        )
        self.pending_work.schedule_end()
        return subscription

    cdef int detach(self, EventSubscription subscription) except -1:
        cdef Client client = subscription.client
        watching = self.watched[subscription.address]
        del watching[subscription]
        if not watching:
            del self.watched[subscription.address]
        behind = self.behind.get(client)
        if behind is not None:
            behind.pop(subscription, None)
            if not behind:
                del self.behind[client]
        return 0

    # What happened. A commit group that fails sends no events.

    def created(self, Mailbox mailbox not None) -> None:
        """A mailbox is created in the commit group."""
        if self.watches(mailbox):
            self.accumulator.group.defer(partial(self.send_if_durable, mailbox.address, CREATED, False))

    def expired(self, bytes address not None) -> None:
        """The end of a mailbox is durable."""
        if address in self.watched:
            self.send(address, EXPIRED, False)

    cdef int note_if_waiting(self, Mailbox mailbox) except -1:
        """The first message came, or the last reader left: if there is mail and no reader, it waits."""
        if not self.watches(mailbox) or mailbox.consumers or not mailbox.placed():
            return 0
        if self.mailbox_index.is_visible(mailbox):
            body = b'{"event":"waiting","total":%d}' % mailbox.total()
            self.accumulator.group.defer(partial(self.send_if_durable, mailbox.address, body, False))
            self.pending_work.schedule_end()
        return 0

    cdef int note_message(self, Mailbox mailbox, bytes event, uint64_t msg_id, bytes details) except -1:
        """The event of a message of a watched mailbox is in the commit group. `details`: more fields, each
        after a comma."""
        body = b'{"event":"%b","msg_id":%d%b}' % (event, msg_id, details)
        self.accumulator.group.defer(partial(self.send_if_durable, mailbox.address, body, True))
        return 0

    # Sending.

    def send_if_durable(self, bytes address, bytes body, bint is_detail, bint durable):
        if durable:
            self.send(address, body, is_detail)

    def send_first(self, EventSubscription subscription not None, bytes body, bint durable):
        """Send the first event, unless the subscription has ended. Where that fails, it is sent later."""
        if subscription not in self.watched.get(subscription.address, ()) or not subscription.behind:
            return
        if durable and subscription.accepts_more():
            subscription.behind = False
            self.send_to(subscription, body)
            return
        self.fall_behind(subscription)
        if subscription.client.writable:
            self.send_states_later(subscription.client)

    def send(self, bytes address, bytes body, bint is_detail):
        """Send an event to the subscribers of a mailbox that have lost none."""
        cdef EventSubscription subscription
        for subscription in list(self.watched.get(address, ())):
            if is_detail and not subscription.detailed:
                continue
            if not subscription.behind and subscription.accepts_more():
                self.send_to(subscription, body)
                continue
            self.lost += 1
            if not subscription.behind:
                self.fall_behind(subscription)
                if subscription.client.writable:
                    # It has too much output in this turn.
                    self.send_states_later(subscription.client)

    cdef int fall_behind(self, EventSubscription subscription) except -1:
        """Its next event is the present state."""
        subscription.behind = True
        self.behind.setdefault(subscription.client, {})[subscription] = None
        return 0

    def send_states_later(self, Client client):
        """Send the present states when what gathers now is durable."""
        self.accumulator.group.defer(partial(self.send_states_if_durable, client))
        self.pending_work.schedule_end()

    def send_states_if_durable(self, Client client, bint durable):
        if durable:
            self.send_states(client)
        elif client in self.behind:
            self.send_states_later(client)

    cdef int send_states(self, Client client) except -1:
        """Send the present state to the subscriptions of the client that have lost events, while its socket
        takes them."""
        cdef EventSubscription subscription
        behind = self.behind.pop(client, None)
        if behind is None:
            return 0
        for subscription in list(behind):
            if subscription.max_reached():
                continue
            if not subscription.accepts_more():
                self.behind[client] = behind
                if client.writable and not client.closing:
                    self.send_states_later(client)
                break
            del behind[subscription]
            subscription.behind = False
            self.send_to(subscription, self.state_of(subscription.address))
        return 0

    cdef int send_to(self, EventSubscription subscription, bytes body) except -1:
        subscription.send(view_of(subscription.subject), empty_view(), empty_view(), view_of(body))
        self.sent += 1
        return 0

    cdef bytes state_of(self, bytes address):
        """The event that says whether the mailbox exists."""
        cdef Mailbox mailbox = self.mailbox_index.look_up(view_of(address))
        if mailbox is None:
            return ABSENT
        body = b'{"event":"alive","total":%d' % mailbox.total()
        if mailbox.ttl_seconds:
            body += b',"expires_at":%d' % (self.time.wall_ms(mailbox.deadline_ms()) // 1000)
        return body + b"}"
