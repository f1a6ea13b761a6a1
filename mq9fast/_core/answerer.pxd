"""Sends the answer to a question, a message with Mq9-Reply-To, to the mailbox that the question names.

`MailboxWriter` calls `answer` for each answer that is no control word. The answer and the deletion of the
question are in one write batch, so that of two answers one counts.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.commit.batch_deletes cimport FoundMessage
from mq9fast._core.deleter cimport Deleter
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.message_adder cimport MessageAdder
from mq9fast._core.pubsub.client cimport Client
from mq9fast._core.storage.record cimport NewMessage


cdef enum AnswerOutcome:
    NO_QUESTION          # nothing was done: the question is deleted already
    ANSWERED             # the answer was sent, and the question deleted
    ASKER_GONE           # the question was deleted: its asker's mailbox does not exist
    ASKER_FULL           # nothing was done: a limit refuses the answer
    NOTHING_STORED       # nothing was done: the store takes no messages


cdef class Answerer:
    cdef MailboxIndex mailbox_index
    cdef Accumulator accumulator
    cdef MessageAdder adder
    cdef Deleter deleter
    cdef object store                    # get(key)
    cdef readonly uint64_t answered
    cdef readonly uint64_t lost          # answers whose mailbox did not exist
    cdef readonly bytes sent             # as JSON: where the last answer is, or null

    cdef AnswerOutcome answer(
        self, Client client, Mailbox mailbox, uint64_t msg_id, const FoundMessage* question, View header,
        View body
    ) except *
    cdef bint make_room(
        self, Mailbox asker, Mailbox mailbox, const FoundMessage* question, const NewMessage* answer
    ) except -1
