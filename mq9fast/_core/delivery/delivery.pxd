"""What leaves the broker for mailboxes: replies and pushes of durable turns, reads for who fell behind."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View
from mq9fast._core.commit.commit_group cimport PendingReply, CommitGroup
from mq9fast._core.delivery.consumer cimport PlainConsumer, Consumer
from mq9fast._core.delivery.queue_group cimport QueueGroup, Member
from mq9fast._core.mailbox.mailbox cimport MailboxIndex, Mailbox
from mq9fast._core.pubsub.client cimport PendingWork, Client, Subscription
from mq9fast._core.pubsub.router cimport Router


cdef enum:
    WRITE_NS = 5_000              # about what one write to a socket takes
    CLOCK_CHECK_OFFERS = 64       # after which the time is looked at


cdef class MailboxSubscription(Subscription):
    # Exactly one of reader and group is there while it is attached.
    cdef readonly Mailbox mailbox
    cdef PlainConsumer reader
    cdef QueueGroup group
    cdef Member member


cdef class Delivery:
    cdef MailboxIndex mailbox_index
    cdef Router router
    cdef PendingWork pending_work
    cdef object catch_up_queue  # a deque of sources for the pump; those not QUEUED any more are passed over
    cdef dict unreadable        # sources whose reading failed, and with what; in the state QUEUED

    # Subscriptions come and go.
    cdef MailboxSubscription attach(
        self, Client client, bytes sid, bytes subject, bytes queue, View address, int ranks
    )
    cdef int detach(self, MailboxSubscription subscription) except -1
    cdef int finish(self, MailboxSubscription subscription) except -1
    cdef int leave_group(self, QueueGroup group, Member member) except -1
    cdef int read_or_forget(self, QueueGroup group) except -1
    cdef int drop_consumer(self, Mailbox mailbox, Consumer consumer) except -1
    cdef int queue_catch_up(self, Consumer consumer) except -1
    cdef int catch_up_one(self, Consumer consumer, object store) except -1

    # A turn is durable.
    cdef int advance_durable(self, CommitGroup commit_group) except -1
    cdef int answer(self, const PendingReply* pending_reply, View reply) except -1
    cdef int push(self, CommitGroup commit_group, int rank, uint64_t end_ns) except -1
    cdef int settle(self, CommitGroup commit_group, Py_ssize_t first, bint durable) except -1
