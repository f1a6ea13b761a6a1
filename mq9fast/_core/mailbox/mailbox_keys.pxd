"""What a mailbox remembers of the keys of its messages (Mq9-Key), apart from the rows of the store.

`Replacer` changes it, and queue groups ask whether a message was replaced. A mailbox whose messages never had
keys has no such object.
"""

from libc.stdint cimport uint64_t


cdef enum:
    # A mailbox may have so many rows of keys for each of its messages, and so many more.
    ROWS_OF_A_MESSAGE = 2
    SPARE_ROWS = 1024


cdef class MailboxKeys:
    cdef readonly uint64_t rows   # of keys in the store, about; those of deleted messages too
    cdef dict replaced            # msg_id -> rank, of messages that were replaced while a member held them
    cdef readonly bint uncertain            # `replaced` may differ from the rows of the store
    cdef bint queued              # in MailboxIndex.keys_to_check, or being swept

    cdef inline bint is_replaced(self, uint64_t msg_id):
        """Whether no member may get the message any more. While that is uncertain, it may."""
        return len(self.replaced) > 0 and not self.uncertain and msg_id in self.replaced


cdef MailboxKeys loaded_keys(uint64_t rows, bint has_replaced, MailboxKeys before)
