"""The consumers that read the store at the end of the turn, in order.

`Delivery` lets them catch up. It adds consumers here, and so do queue groups whose members become free.
"""

from mq9fast._core.delivery.consumer cimport Consumer
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.pubsub.client cimport PendingWork


cdef class CatchUpQueue:
    cdef MailboxIndex mailbox_index
    cdef PendingWork pending_work
    cdef object consumers       # a deque; those not QUEUED any more are skipped

    cdef int add(self, Consumer consumer) except -1
