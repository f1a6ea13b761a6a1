"""The consumers that are about to read the store; the contract is in catch_up_queue.pxd."""

from collections import deque

from mq9fast._core.delivery.consumer cimport QUEUED, Consumer
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.pubsub.client cimport PendingWork


cdef class CatchUpQueue:
    """One for each broker."""

    def __cinit__(self, MailboxIndex mailbox_index not None, PendingWork pending_work not None):
        self.mailbox_index = mailbox_index
        self.pending_work = pending_work
        self.consumers = deque()

    cdef int add(self, Consumer consumer) except -1:
        """Have the consumer catch up at the end of the turn, if its mailbox exists."""
        if consumer.state != QUEUED and self.mailbox_index.is_visible(consumer.mailbox):
            consumer.state = QUEUED
            self.consumers.append(consumer)
            self.pending_work.schedule_end()
        return 0
