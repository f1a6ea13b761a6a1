"""Events of mailboxes, for clients that subscribe to `$mq9.AI.MAILBOX.EVENT.{mail_address}` or its `.*`.

Events are not stored. Most are sent when the commit group is durable in which they happened. A subscriber
whose socket is full loses events; when it drains, it gets the present state, as at the beginning. So an event
costs nothing where nobody watches, and a slow subscriber costs no memory.

`Session` calls `attach`. `Delivery`, `MailboxWriter` and `mailbox/lifecycle.py` say what happened.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.broker_time cimport BrokerTime
from mq9fast._core.base.view cimport View
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.pubsub.client cimport Client, PendingWork, Subscription


cdef enum:
    EVENT_OUTPUT_BYTES = 1048576    # a client with this much unwritten output gets no events


cdef class EventSubscription(Subscription):
    """A SUB to the events of a mailbox, which need not exist."""
    cdef readonly bytes address
    cdef bint detailed              # it also gets the events of single messages
    cdef bint behind                # its next event is the present state

    cdef inline bint accepts_more(self) noexcept:
        return (
            self.client.writable and not self.client.closing and not self.max_reached()
            and self.client.out.size < EVENT_OUTPUT_BYTES
        )


cdef class Events:
    cdef MailboxIndex mailbox_index
    cdef PendingWork pending_work
    cdef Accumulator accumulator
    cdef BrokerTime time
    cdef dict watched               # address -> {EventSubscription: None}
    cdef dict behind                # client -> {EventSubscription: None}: those that lost events
    cdef readonly uint64_t sent
    cdef readonly uint64_t lost     # because a socket was full

    cdef inline bint watches(self, Mailbox mailbox) noexcept:
        """Whether anybody watches the mailbox."""
        return len(self.watched) > 0 and mailbox.address in self.watched

    cdef EventSubscription attach(self, Client client, bytes sid, View subject)
    cdef int detach(self, EventSubscription subscription) except -1
    cdef int note_if_waiting(self, Mailbox mailbox) except -1
    cdef int note_message(self, Mailbox mailbox, bytes event, uint64_t msg_id, bytes details) except -1
    cdef int send_states(self, Client client) except -1
    cdef int send_to(self, EventSubscription subscription, bytes body) except -1
    cdef int fall_behind(self, EventSubscription subscription) except -1
    cdef bytes state_of(self, bytes address)
