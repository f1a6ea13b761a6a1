"""What becomes of the messages of mailboxes that have ended: receipts and dead letters.

`mailbox/purges.py` calls `end_row` for each row of messages, in the commit that deletes the row.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.dead_letters cimport DeadLetters
from mq9fast._core.receipts cimport Receipts


cdef class EndedMessages:
    cdef Receipts receipts
    cdef DeadLetters dead_letters
    cdef object store                    # get(key)

    cdef uint64_t deliveries(self, uint64_t uid, uint64_t msg_id) except? 0
