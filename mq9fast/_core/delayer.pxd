"""Delayed messages: stored apart until they are due, then added to their mailbox behind all others.

`MailboxWriter` calls `delay` for a MSG with a delay and `cancel` for a DELETE. `Expirer` calls `place` when a
message is due. While a message is delayed, no delivery passes over it.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t

from mq9fast._core.base.broker_time cimport BrokerTime
from mq9fast._core.delayed_messages cimport DelayedMessages
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.message_adder cimport MessageAdder
from mq9fast._core.names cimport Names
from mq9fast._core.storage.record cimport NewMessage


cdef class Delayer:
    cdef MailboxIndex mailbox_index
    cdef DelayedMessages delayed
    cdef MessageAdder adder
    cdef Names names
    cdef BrokerTime time

    # Of the message that `cancel` deleted.
    cdef bytes cancelled_header
    cdef uint8_t cancelled_flags

    cdef inline int64_t wall_ms(self) noexcept:
        """The wall clock in this turn, in Unix milliseconds."""
        return <int64_t>self.mailbox_index.now_ms + self.time.wall_offset_ms

    cdef int delay(self, Mailbox mailbox, NewMessage* message) except -1
    cdef bytes reply(self, Mailbox mailbox, const NewMessage* message)
    cdef bint cancel(self, Mailbox mailbox, uint64_t msg_id) except -1
    cdef bint place(self, Mailbox mailbox, int rank, uint64_t msg_id) except -1
