"""MSG and DELETE; the contract is in mailbox_writer.pxd."""

from libc.stdint cimport uint8_t, uint64_t

from mq9fast._core.answerer cimport (
    ANSWERED, ASKER_FULL, NO_QUESTION, NOTHING_STORED, Answerer, AnswerOutcome
)
from mq9fast._core.base.view cimport (
    View, empty_view, last_dot, read_decimal, slice_from, starts_with, to_bytes, view, view_of
)
from mq9fast._core.base.sip_hash cimport Hash128
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.commit.batch_deletes cimport FoundMessage
from mq9fast._core.commit.commit_group cimport (
    REPLY_BODY, REPLY_DELETED, REPLY_DUPLICATE, REPLY_MSG_ID, REPLY_NOT_DELETED
)
from mq9fast._core.dead_letters cimport NOT_FOUND, Burial, DeadLetters
from mq9fast._core.deduplicator cimport Deduplicator
from mq9fast._core.delayer cimport Delayer
from mq9fast._core.deleter cimport Deleter
from mq9fast._core.delivery.delivery cimport Delivery
from mq9fast._core.delivery.events cimport Events
from mq9fast._core.delivery.failures cimport NO_DELAY_GIVEN
from mq9fast._core.delivery.holds cimport Hold, find_hold, note_answer
from mq9fast._core.delivery.in_flight cimport HELD, InFlight
from mq9fast._core.delivery.member cimport Member
from mq9fast._core.delivery.queue_group cimport QueueGroup, sole_group
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.message_adder cimport MessageAdder
from mq9fast._core.message_times cimport TIMES_BYTES, read_times
from mq9fast._core.protocol.address cimport split_priority, valid_address
from mq9fast._core.protocol.control_word cimport (
    NAK_WORD, NO_WORD, TERMINATE_WORD, WORK_IN_PROGRESS_WORD, ControlWord, control_word
)
from mq9fast._core.protocol.headers cimport (
    MQ9_KEY, MQ9_RECEIPT_ON, MQ9_RECEIPT_TO, MQ9_REPLY_TO, NATS_MSG_ID, MessageHeaders, read_headers,
    without_first_line
)
from mq9fast._core.protocol.literals cimport (
    CRLF, DELETE_PREFIX, MAILBOX_PREFIX, MSG_PREFIX, NAK, TERMINATE, Rank
)
from mq9fast._core.protocol.nak cimport read_nak_delay
from mq9fast._core.protocol.parser cimport Operation
from mq9fast._core.pubsub.client cimport CLOCK_CHECK_COST, PendingWork, Client
from mq9fast._core.receipts cimport Receipts, settled_details, valid_receipt_events
from mq9fast._core.storage.record cimport NewMessage, content_bytes, empty_message
from mq9fast._core.storage.row_format cimport HAS_NAME, HAS_RECEIPT_TO, HAS_REPLY_TO

cdef enum:
    LARGEST_ID = 0x7FFFFFFFFFFFFFFF

# The refusal of each HeaderFault.
cdef tuple HEADER_REFUSALS = (
    None, "bad_request: headers", "bad_request: unknown_header", "bad_request: repeated_header",
    "bad_request: nats_expected", "bad_request: empty_header",
)


cdef inline void prove_sender(NewMessage* message, bytes sender_block) noexcept:
    """Add the headers of `sender_block` in front of those of the message."""
    message.added = view_of(sender_block)
    if message.header.size:
        # One NATS/1.0 line and one blank line are enough.
        message.added.size -= CRLF.size
        message.header = without_first_line(message.header)


cdef View cut_token(View* id_text) noexcept:
    """Cut off what follows the first hyphen of an id, and return it; empty if there is none."""
    cdef Py_ssize_t i
    cdef View token
    for i in range(id_text.size):
        if id_text.data[i] == c'-':
            token = slice_from(id_text[0], i + 1)
            id_text.size = i
            return token
    return view(id_text.data, 0)


cdef class MailboxWriter:
    """One for each broker.

    `refusals` maps each error code, and "code: reason" where a code has several sentences, to the JSON of the
    reply. `store_errors` are the exceptions of a read of the store that are answered with store_unavailable.
    """

    def __cinit__(
        self, MailboxIndex mailbox_index not None, Delivery delivery not None,
        PendingWork pending_work not None, Accumulator accumulator not None, MessageAdder adder not None,
        Delayer delayer not None, Deleter deleter not None, Deduplicator deduplicator not None,
        Answerer answerer not None, Receipts receipts not None, DeadLetters dead_letters not None,
        dict refusals not None, *, store_errors, create,
    ):
        self.mailbox_index = mailbox_index
        self.delivery = delivery
        self.pending_work = pending_work
        self.limits = pending_work.limits
        self.accumulator = accumulator
        self.adder = adder
        self.delayer = delayer
        self.deleter = deleter
        self.deduplicator = deduplicator
        self.answerer = answerer
        self.receipts = receipts
        self.dead_letters = dead_letters
        self.refusals = refusals
        self.store_errors = store_errors
        self.create = create

    @property
    def discarded(self) -> int:
        """Messages that were dropped because newer ones replaced them."""
        return self.adder.discarder.dropper.discarded

    cdef bint publish(self, Client client, const Operation* op) except -1:
        """Handle MSG and DELETE, refuse unknown subjects; false if it is for `mailbox/commands.py`."""
        if starts_with(op.subject, MSG_PREFIX):
            self.add_message(client, op, slice_from(op.subject, MSG_PREFIX.size))
        elif starts_with(op.subject, DELETE_PREFIX):
            self.delete(client, op, slice_from(op.subject, DELETE_PREFIX.size))
        elif starts_with(op.subject, MAILBOX_PREFIX):
            return False
        else:
            self.refuse(client, op.reply, "unknown_command")
        return True

    cdef int refuse(self, Client client, View reply, str code) except -1:
        """Answer with an error. Without a reply subject the publish counts as dropped."""
        if reply.size == 0:
            self.dropped += 1
            return 0
        return self.accumulator.group.add_reply(client, reply, REPLY_BODY, 0, <bytes>self.refusals[code])

    cdef int add_message(self, Client client, const Operation* op, View rest) except -1:
        """MSG.{mail_address}[.priority]: give the message its id and add it to the commit group."""
        cdef View address
        cdef Rank rank
        cdef Mailbox mailbox
        cdef MessageHeaders headers
        cdef NewMessage message
        cdef char[TIMES_BYTES] attributes
        cdef Hash128 hashed
        cdef bint has_id = False
        if not split_priority(rest, &address, &rank):
            return self.refuse(client, op.reply, "invalid_address")
        message = empty_message()
        message.header = op.header
        message.payload = op.payload
        if op.header.size:
            if not self.accept_headers(client, op, &headers):
                return 0
            message.header = headers.block
            if not read_times(&headers, self.delayer.wall_ms(), &message, attributes):
                return self.refuse(client, op.reply, "bad_request: times")
            has_id = headers.options & (1 << NATS_MSG_ID) != 0
            if headers.options & (1 << MQ9_KEY):
                message.key = headers.values[<int>MQ9_KEY]
            if headers.options & (1 << MQ9_REPLY_TO):
                if not self.accept_target(client, op.reply, headers.values[<int>MQ9_REPLY_TO]):
                    return 0
                message.flags |= HAS_REPLY_TO
            if headers.options & ((1 << MQ9_RECEIPT_TO) | (1 << MQ9_RECEIPT_ON)):
                if not self.accept_receipts(client, op.reply, &headers):
                    return 0
                if headers.options & (1 << MQ9_RECEIPT_TO):
                    message.flags |= HAS_RECEIPT_TO
        if client.sender_block is not None:
            prove_sender(&message, client.sender_block)
        mailbox = self.mailbox_index.look_up(address)
        if mailbox is None and not self.limits.auto_create:
            return self.refuse(client, op.reply, "mailbox_not_found")
        if has_id:
            hashed = self.deduplicator.hash_of(headers.values[<int>NATS_MSG_ID])
            if mailbox is not None and self.answer_duplicate(client, op.reply, mailbox, hashed):
                return 0
        if self.accumulator.disk_full or self.accumulator.store_failed:
            return self.refuse(client, op.reply, "store_unavailable")
        self.adder.emptied = None
        if message.key.size or not self.adder.has_room(mailbox, <uint64_t>content_bytes(&message)):
            if not self.make_room(client, op.reply, mailbox, &message):
                return 0
        if mailbox is None:
            self.pending_work.cost += CLOCK_CHECK_COST
            mailbox = self.create(to_bytes(address))
            if mailbox is None:
                return self.refuse(client, op.reply, "limit_exceeded")
        message.rank = rank
        if message.delay_ms:
            self.delayer.delay(mailbox, &message)
        else:
            self.adder.add(mailbox, &message)
        if message.flags & HAS_RECEIPT_TO:
            mailbox.has_receipts = True
        if has_id:
            self.deduplicator.remember(mailbox, hashed, message.msg_id)
        mailbox.renewed_ms = message.created_ms
        self.accepted += 1
        if message.delay_ms and op.reply.size:
            body = self.delayer.reply(mailbox, &message)
            return self.accumulator.group.add_reply(client, op.reply, REPLY_BODY, 0, body)
        return self.accumulator.group.add_reply(client, op.reply, REPLY_MSG_ID, message.msg_id, None)

    cdef bint answer_duplicate(self, Client client, View reply, Mailbox mailbox, Hash128 hashed) except -1:
        """Answer a MSG whose Nats-Msg-Id the mailbox remembers; false if it does not."""
        cdef uint64_t msg_id = 0
        if self.accumulator.store_failed:
            return False
        try:
            if not self.deduplicator.find(mailbox, hashed, &msg_id):
                return False
        except self.store_errors:
            self.refuse(client, reply, "store_unavailable")
            return True
        self.duplicates += 1
        if msg_id >= mailbox.durable_id:
            # The group that stores the first one may fail. Then this one must fail too, so it has to write.
            self.accumulator.group.touch(mailbox)
        self.accumulator.group.add_reply(client, reply, REPLY_DUPLICATE, msg_id, None)
        return True

    cdef bint make_room(
        self, Client client, View reply, Mailbox mailbox, const NewMessage* message
    ) except -1:
        """Make room for a message; false if it was refused."""
        try:
            if self.adder.make_room(mailbox, message):
                return True
        except self.store_errors:
            self.refuse(client, reply, "store_unavailable")
            return False
        self.over_limit += 1
        self.refuse(client, reply, "limit_exceeded")
        return False

    cdef bint accept_headers(self, Client client, const Operation* op, MessageHeaders* headers) except -1:
        """Read the headers of a MSG or answer; false if they are not valid, and it was refused."""
        cdef int fault = read_headers(op.header, headers)
        if fault:
            self.refuse(client, op.reply, <str>HEADER_REFUSALS[fault])
        return fault == 0

    cdef bint accept_target(self, Client client, View reply, View address) except -1:
        """Whether a header of the client may name this mailbox; if not, the MSG was refused."""
        if not valid_address(address):
            self.refuse(client, reply, "bad_request: mailbox_header")
            return False
        if not client.may_name(address):
            self.refuse(client, reply, "permission_denied")
            return False
        return True

    cdef bint accept_receipts(self, Client client, View reply, const MessageHeaders* headers) except -1:
        """Whether Mq9-Receipt-To and Mq9-Receipt-On are valid; if not, the MSG was refused."""
        if headers.options & (1 << MQ9_RECEIPT_ON):
            if not valid_receipt_events(headers.values[<int>MQ9_RECEIPT_ON]):
                self.refuse(client, reply, "bad_request: receipt_on")
                return False
        if headers.options & (1 << MQ9_RECEIPT_TO):
            return self.accept_target(client, reply, headers.values[<int>MQ9_RECEIPT_TO])
        return True

    cdef int delete(self, Client client, const Operation* op, View rest) except -1:
        """DELETE.{mail_address}.{msg_id}. An answer to a delivered message is also a DELETE."""
        cdef Py_ssize_t dot = last_dot(rest)
        cdef View address = view(rest.data, max(dot, 0))
        cdef View id_text = slice_from(rest, dot + 1)
        cdef View token = empty_view()
        cdef uint64_t msg_id = 0
        cdef ControlWord word = control_word(op.payload)
        cdef uint64_t place
        cdef Mailbox mailbox = self.mailbox_index.look_up(address)
        cdef MessageHeaders headers
        cdef QueueGroup group = None
        cdef Hold hold
        cdef InFlight* entry
        cdef FoundMessage found
        cdef bytes block = None
        cdef bint has_receipts
        if not read_decimal(id_text, LARGEST_ID, &msg_id):
            token = cut_token(&id_text)
            if not token.size or not read_decimal(id_text, LARGEST_ID, &msg_id):
                return self.refuse(client, op.reply, "bad_request")
        if mailbox is None and not valid_address(address):
            return self.refuse(client, op.reply, "invalid_address")
        headers.block = empty_view()
        if op.header.size and not self.accept_headers(client, op, &headers):
            return 0
        if mailbox is None:
            return self.refuse(client, op.reply, "mailbox_not_found")
        place = msg_id
        if mailbox.times is not None and mailbox.times.has_names:
            try:
                place = self.delayer.names.place_of(mailbox, msg_id)
            except self.store_errors:
                return self.refuse(client, op.reply, "store_unavailable")
        if mailbox.has_suspects:
            note_answer(mailbox, client)
        if token.size:
            group = find_hold(mailbox, place, token, &hold)
            if group is None:
                return self.accumulator.group.add_reply(client, op.reply, REPLY_NOT_DELETED, 0, None)
        if word == WORK_IN_PROGRESS_WORD or word == NAK_WORD:
            try:
                if group is None:
                    self.answer_holds(client, mailbox, place, word, op.payload)
                elif not hold.waits:
                    self.answer_hold(group, hold.entry, word, op.payload)
            except self.store_errors:
                return self.refuse(client, op.reply, "store_unavailable")
            return self.accumulator.group.add_reply(client, op.reply, REPLY_NOT_DELETED, 0, None)
        if word == TERMINATE_WORD:
            return self.terminate(client, op, mailbox, place)
        try:
            group = sole_group(mailbox.groups)
            if group is not None:
                entry = group.in_flight.find(place)
                if entry is not NULL and entry.state == HELD and self.is_plain(mailbox, entry.flags, word):
                    if not self.deleter.delete_held(mailbox, group, entry):
                        return self.accumulator.group.add_reply(client, op.reply, REPLY_NOT_DELETED, 0, None)
                    self.deleted += 1
                    return self.accumulator.group.add_reply(client, op.reply, REPLY_DELETED, 0, None)
            if not self.find_by_name(mailbox, msg_id, place, &found):
                return self.cancel(client, op.reply, mailbox, msg_id)
            has_receipts = mailbox.wants_receipts(found.flags)
            if has_receipts:
                block = self.receipts.block_of(mailbox, &found)
            if word == NO_WORD and found.flags & HAS_REPLY_TO:
                if self.answer(client, op, mailbox, msg_id, &found, headers.block):
                    self.tell(client, mailbox, msg_id, has_receipts, block, self.answerer.sent)
                return 0
            if not self.deleter.delete_found(mailbox, &found):
                return self.accumulator.group.add_reply(client, op.reply, REPLY_NOT_DELETED, 0, None)
        except self.store_errors:
            return self.refuse(client, op.reply, "store_unavailable")
        if has_receipts or self.delivery.events.watched:
            self.tell(client, mailbox, msg_id, has_receipts, block, None)
        self.deleted += 1
        return self.accumulator.group.add_reply(client, op.reply, REPLY_DELETED, 0, None)

    cdef bint is_plain(self, Mailbox mailbox, uint8_t flags, ControlWord word) noexcept:
        """Whether a DELETE of a message with these MessageFlags does nothing but delete it."""
        return (
            mailbox.times is None and len(self.delivery.events.watched) == 0
            and not mailbox.wants_receipts(flags) and not (word == NO_WORD and flags & HAS_REPLY_TO)
        )

    cdef bint find_by_name(
        self, Mailbox mailbox, uint64_t name, uint64_t place, FoundMessage* found
    ) except -1:
        """Find a message that is not deleted or delayed."""
        if not self.deleter.find(mailbox, place, found):
            return False
        found.name = name
        # An id that is only a place is no msg_id.
        return not found.flags & HAS_NAME or place != name

    cdef int cancel(self, Client client, View reply, Mailbox mailbox, uint64_t msg_id) except -1:
        """DELETE of a delayed message, or of one that does not exist."""
        cdef uint8_t flags
        cdef bytes block
        if not self.delayer.cancel(mailbox, msg_id):
            return self.accumulator.group.add_reply(client, reply, REPLY_NOT_DELETED, 0, None)
        flags = self.delayer.cancelled_flags
        block = self.delayer.cancelled_header if flags & HAS_RECEIPT_TO else None
        self.tell(client, mailbox, msg_id, mailbox.wants_receipts(flags), block, None)
        self.deleted += 1
        return self.accumulator.group.add_reply(client, reply, REPLY_DELETED, 0, None)

    cdef int tell(
        self, Client client, Mailbox mailbox, uint64_t msg_id, bint has_receipts, bytes block, bytes answer
    ) except -1:
        """Tell those who want to know that a client deleted or answered a message. `block`: its headers, for
        receipts. `answer`: where the answer is, as JSON, or None."""
        cdef bytes details
        cdef Events events = self.delivery.events
        cdef bint is_watched = events.watches(mailbox)
        if not has_receipts and not is_watched:
            return 0
        details = settled_details(client, answer)
        if has_receipts:
            self.receipts.settle(mailbox, msg_id, block, details)
        if is_watched:
            if answer == b"null":
                events.note_message(mailbox, b"dropped", msg_id, b',"reason":"mailbox_not_found"')
            events.note_message(mailbox, b"settled", msg_id, details)
        return 0

    cdef bint answer(
        self, Client client, const Operation* op, Mailbox mailbox, uint64_t msg_id,
        const FoundMessage* question, View header
    ) except -1:
        """An answer to a message with Mq9-Reply-To. Returns whether it deleted the message."""
        cdef bytes body
        cdef AnswerOutcome outcome
        outcome = self.answerer.answer(client, mailbox, msg_id, question, header, op.payload)
        if outcome == NOTHING_STORED:
            self.refuse(client, op.reply, "store_unavailable")
            return False
        if outcome == ASKER_FULL:
            self.over_limit += 1
            self.refuse(client, op.reply, "limit_exceeded")
            return False
        if outcome == NO_QUESTION:
            self.accumulator.group.add_reply(client, op.reply, REPLY_NOT_DELETED, 0, None)
            return False
        self.deleted += 1
        body = b'{"deleted":true,"answer":' + self.answerer.sent + (
            b'}' if outcome == ANSWERED else b',"reason":"mailbox_not_found"}'
        )
        self.accumulator.group.add_reply(client, op.reply, REPLY_BODY, 0, body)
        return True

    cdef int terminate(self, Client client, const Operation* op, Mailbox mailbox, uint64_t place) except -1:
        """+TERM: the message becomes a dead letter at once, or as soon as its mailbox has room."""
        cdef Burial outcome
        if self.accumulator.store_failed:
            return self.refuse(client, op.reply, "store_unavailable")
        try:
            outcome = self.dead_letters.terminate(mailbox, place, slice_from(op.payload, TERMINATE.size))
        except self.store_errors:
            return self.refuse(client, op.reply, "store_unavailable")
        return self.accumulator.group.add_reply(
            client, op.reply, REPLY_NOT_DELETED if outcome == NOT_FOUND else REPLY_DELETED, 0, None
        )

    cdef int answer_holds(
        self, Client client, Mailbox mailbox, uint64_t msg_id, ControlWord word, View body
    ) except -1:
        """-NAK or +WPI without a token: it is for the groups in which this client holds the message."""
        cdef QueueGroup group
        cdef InFlight* entry
        cdef Member member
        if not mailbox.groups:
            return 0
        for group in list(mailbox.groups.values()):
            entry = group.in_flight.find(msg_id)
            if entry is NULL or entry.state != HELD:
                continue
            member = group.member_of(entry)
            if member is not None and member.subscription.client is client:
                self.answer_hold(group, entry, word, body)
        return 0

    cdef int answer_hold(self, QueueGroup group, InFlight* entry, ControlWord word, View body) except -1:
        """-NAK or +WPI for a message that a member of the group holds."""
        if word == WORK_IN_PROGRESS_WORD:
            return group.prolong(entry)
        group.refuse(entry, read_nak_delay(slice_from(body, NAK.size), NO_DELAY_GIVEN))
        return self.delivery.catch_up_or_drop(group)
