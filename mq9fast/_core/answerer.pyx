"""Sends answers to the mailboxes of askers; the contract is in answerer.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View, to_bytes, view_of
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.commit.batch_deletes cimport FoundMessage
from mq9fast._core.deleter cimport Deleter
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.mailbox.stored_messages cimport header_at
from mq9fast._core.message_adder cimport MessageAdder
from mq9fast._core.protocol.headers cimport (
    MQ9_CORRELATION_ID, MQ9_REPLY_TO, find_option, lines_without_options, without_last_line
)
from mq9fast._core.protocol.literals cimport HEADER_VERSION_LINE
from mq9fast._core.pubsub.client cimport Client
from mq9fast._core.storage.record cimport NewMessage, content_bytes, empty_message


cdef bytes compose_header(Client client, Mailbox mailbox, uint64_t msg_id, View header, bytes asked):
    """The header block of an answer. `header`: what the answering client sent. `asked`: the question's."""
    cdef View correlation_id = find_option(view_of(asked), MQ9_CORRELATION_ID)
    cdef bytes start = to_bytes(HEADER_VERSION_LINE)
    if client.sender_block is not None:
        start = without_last_line(client.sender_block)
    start += b"Mq9-In-Reply-To: %b/%d\r\n" % (mailbox.address, msg_id)
    if correlation_id.size:
        start += b"Mq9-Correlation-Id: %b\r\n" % to_bytes(correlation_id)
    if header.size:
        start += lines_without_options(header)
    return start + b"\r\n"


cdef class Answerer:
    """One for each broker."""

    def __cinit__(
        self, MailboxIndex mailbox_index not None, Accumulator accumulator not None,
        MessageAdder adder not None, Deleter deleter not None, *, store,
    ):
        self.mailbox_index = mailbox_index
        self.accumulator = accumulator
        self.adder = adder
        self.deleter = deleter
        self.store = store

    cdef AnswerOutcome answer(
        self, Client client, Mailbox mailbox, uint64_t msg_id, const FoundMessage* question, View header,
        View body
    ) except *:
        """Answer a question that was just found, with the `header`, which may be empty, and the `body` of a
        client. Sets `sent` if the question was deleted. Raises what the store raises."""
        cdef Mailbox asker
        cdef NewMessage message = empty_message()
        if self.accumulator.disk_full or self.accumulator.store_failed:
            return NOTHING_STORED
        asked = header_at(self.store, mailbox, question.rank, &question.location)
        if asked is None:
            return NO_QUESTION
        asker = self.mailbox_index.look_up(find_option(view_of(asked), MQ9_REPLY_TO))
        if asker is None:
            if not self.deleter.delete_found(mailbox, question):
                return NO_QUESTION
            self.lost += 1
            self.sent = b'null'
            return ASKER_GONE
        block = compose_header(client, mailbox, msg_id, header, asked)
        key = b"%b/%d" % (mailbox.address, msg_id)
        message.rank = question.rank
        message.composed = True
        message.header = view_of(block)
        message.payload = body
        message.key = view_of(key)
        if not self.make_room(asker, mailbox, question, &message):
            return ASKER_FULL
        if self.accumulator.store_failed:
            return NOTHING_STORED
        # From here on nothing is written: both changes are in one batch.
        if not self.deleter.delete_found(mailbox, question):
            return NO_QUESTION
        self.adder.add(asker, &message)
        asker.renewed_ms = message.created_ms
        self.answered += 1
        self.sent = b'{"mail_address":"%b","msg_id":%d}' % (asker.address, message.msg_id)
        return ANSWERED

    cdef bint make_room(
        self, Mailbox asker, Mailbox mailbox, const FoundMessage* question, const NewMessage* answer
    ) except -1:
        """Whether the asker's mailbox takes the answer. It may drop old messages for that."""
        cdef uint64_t size = <uint64_t>content_bytes(answer)
        if asker is not mailbox:
            return self.adder.make_room(asker, answer)
        # The answer takes the place of its question, which must not be dropped for it.
        return self.adder.store_has_room(size) and self.adder.fits(
            mailbox, mailbox.total(), mailbox.size_bytes - question.size + size
        )
