"""What leaves the broker for mailboxes: replies and pushes of durable turns, reads for who fell behind."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View
from mq9fast._core.commit.commit_group cimport Ack, Turn
from mq9fast._core.delivery.consumer cimport Reader, Source
from mq9fast._core.delivery.queue_group cimport Group, Member
from mq9fast._core.mailbox.mailbox cimport Directory, Mailbox
from mq9fast._core.pubsub.client cimport Agenda, Client, Subscription
from mq9fast._core.pubsub.router cimport Router


cdef enum:
    WRITE_NS = 5_000          # about what one write to a socket takes
    OFFERS_TO_LOOK = 64       # after which the time is looked at


cdef class MailboxSubscription(Subscription):
    # Exactly one of reader and group is there while it is attached.
    cdef readonly Mailbox mailbox
    cdef Reader reader
    cdef Group group
    cdef Member member


cdef class Delivery:
    cdef Directory directory
    cdef Router router
    cdef Agenda agenda
    cdef object waiting       # a deque of sources for the pump; those not QUEUED any more are passed over
    cdef dict unreadable      # sources whose reading failed, and with what; in the state QUEUED

    # Subscriptions come and go.
    cdef MailboxSubscription attach(
        self, Client client, bytes sid, bytes subject, bytes queue, View address, int ranks
    )
    cdef int detach(self, MailboxSubscription subscription) except -1
    cdef int retire(self, MailboxSubscription subscription) except -1
    cdef int leave_group(self, Group group, Member member) except -1
    cdef int read_or_forget(self, Group group) except -1
    cdef int drop_source(self, Mailbox mailbox, Source source) except -1
    cdef int wait_for_pump(self, Source source) except -1
    cdef int pump_one(self, Source source, object store) except -1

    # A turn is durable.
    cdef int mark_durable(self, Turn turn) except -1
    cdef int answer(self, const Ack* ack, View reply) except -1
    cdef int push(self, Turn turn, int rank, uint64_t end_ns) except -1
    cdef int settle(self, Turn turn, Py_ssize_t first, bint durable) except -1
