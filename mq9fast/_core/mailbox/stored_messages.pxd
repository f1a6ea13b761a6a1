"""Reading the durable messages of one rank of a mailbox from the store, in the order of their ids.

Consumers catch up with it, and LIST and the monitoring read pages with it. LIST reads backwards too. What
answers or removes a message reads that one.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.storage.record cimport StoredMessage
from mq9fast._core.storage.record_batch cimport RecordBatch, RecordBatchReader, RecordLocation


cdef RecordBatchReader durable_messages(object store, Mailbox mailbox, int rank, uint64_t start)
cdef RecordBatchReader messages_between(
    object store, Mailbox mailbox, int rank, uint64_t start, uint64_t end_key
)
cdef bint read_message_at(
    object store, Mailbox mailbox, int rank, const RecordLocation* location, RecordBatch batch,
    StoredMessage* message
) except -1
cdef bytes header_at(object store, Mailbox mailbox, int rank, const RecordLocation* location)
cdef int check_rank(int rank) except -1
cdef list newest_first(Mailbox mailbox, list rows, uint64_t start, uint64_t end)
