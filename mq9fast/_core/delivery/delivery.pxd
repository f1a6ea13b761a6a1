"""Sends replies to mailbox commands, and the messages of mailboxes to their consumers.

Caught-up consumers get the messages of a durable commit group. For the others `catch_up` reads the store.
The commit pipeline calls `release`, `fail` and `catch_up`. `Session` calls `attach` and `writable_again`,
`Engine` calls `detach` and `finish`, and what creates, ends or reloads a mailbox calls `restart`.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View
from mq9fast._core.commit.commit_group cimport PendingReply, CommitGroup
from mq9fast._core.delivery.catch_up_queue cimport CatchUpQueue
from mq9fast._core.delivery.consumer cimport PlainConsumer, Consumer
from mq9fast._core.delivery.events cimport Events
from mq9fast._core.delivery.given_back cimport GroupWork
from mq9fast._core.delivery.member cimport Member
from mq9fast._core.delivery.queue_group cimport QueueGroup
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.pubsub.client cimport PendingWork, Client, Subscription
from mq9fast._core.pubsub.router cimport Router


cdef enum:
    WRITE_NS = 5_000              # about what one write to a socket takes
    CLOCK_CHECK_OFFERS = 64       # between two checks of the clock


cdef class MailboxSubscription(Subscription):
    # While it is attached, it has either a consumer of its own or a group and a member.
    cdef readonly Mailbox mailbox
    cdef PlainConsumer reader
    cdef QueueGroup group
    cdef Member member


cdef class Delivery:
    cdef MailboxIndex mailbox_index
    cdef Router router
    cdef PendingWork pending_work
    cdef readonly Events events
    cdef CatchUpQueue catch_up_queue
    cdef GroupWork group_work
    cdef object store_errors
    cdef dict unreadable        # consumer -> exception of its last read; in the state QUEUED

    # Subscriptions begin and end; consumers catch up or are dropped.
    cdef MailboxSubscription attach(
        self, Client client, bytes sid, bytes subject, bytes queue, View address, int ranks
    )
    cdef int detach(self, MailboxSubscription subscription) except -1
    cdef int finish(self, MailboxSubscription subscription) except -1
    cdef int leave_group(self, QueueGroup group, Member member) except -1
    cdef int catch_up_or_drop(self, QueueGroup group) except -1
    cdef int drop_consumer(self, Mailbox mailbox, Consumer consumer) except -1
    cdef int catch_up_one(self, Consumer consumer, object store) except -1
    cdef int store_failures(self) except -1

    # A commit group is durable, or has failed.
    cdef int advance_durable(self, CommitGroup commit_group) except -1
    cdef int answer(self, const PendingReply* pending_reply, View reply) except -1
    cdef int push(self, CommitGroup commit_group, int rank, uint64_t end_ns) except -1
    cdef int have_composed_read(self, CommitGroup commit_group) except -1
    cdef int finish_deletes(self, CommitGroup commit_group, Py_ssize_t first, bint durable) except -1
