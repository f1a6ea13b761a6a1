"""Receipts of messages; the contract, and who uses it, is in receipts.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View, same, slice_from, to_bytes, view, view_of
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.commit.batch_deletes cimport FoundMessage
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.mailbox.stored_messages cimport header_at
from mq9fast._core.message_adder cimport MessageAdder
from mq9fast._core.protocol.headers cimport MQ9_RECEIPT_ON, MQ9_RECEIPT_TO, find_option, sender_in
from mq9fast._core.protocol.literals cimport NORMAL
from mq9fast._core.pubsub.client cimport Client
from mq9fast._core.storage.record cimport (
    NewMessage, StoredMessage, content_bytes, empty_message
)
from mq9fast._core.storage.row_format cimport HAS_RECEIPT_TO, IS_RECEIPT

# By ReceiptEvent, as `Mq9-Receipt-On` and `Mq9-Receipt` name them.
cdef tuple EVENTS = (b"settled", b"expired", b"dead", b"replaced")


cdef View next_event(View* rest) noexcept:
    """Remove the first event of a list with commas, and return it without blanks around it."""
    cdef Py_ssize_t end = 0
    cdef View event
    while end < rest.size and rest.data[end] != c',':
        end += 1
    event = view(rest.data, end)
    rest[0] = slice_from(rest[0], min(end + 1, rest.size))
    while event.size and event.data[0] in (c' ', c'\t'):
        event = slice_from(event, 1)
    while event.size and event.data[event.size - 1] in (c' ', c'\t'):
        event.size -= 1
    return event


cdef int event_of(View name) noexcept:
    """The ReceiptEvent with this name, or -1."""
    cdef int event
    for event in range(<int>RECEIPT_EVENTS):
        if same(name, view_of(<bytes>EVENTS[event])):
            return event
    return -1


cdef bint valid_receipt_events(View value) noexcept:
    """Whether it is a list of events with commas between them."""
    cdef View rest = value
    while True:
        if event_of(next_event(&rest)) < 0:
            return False
        if rest.size == 0:
            return value.data[value.size - 1] != c','


cdef bint is_listed(View value, ReceiptEvent event) noexcept:
    """Whether a valid list has the event. An empty list stands for all."""
    cdef View rest = value
    while rest.size:
        if event_of(next_event(&rest)) == <int>event:
            return True
    return value.size == 0


cdef bytes settled_details(Client client, bytes answer):
    """The fields that say how a client settled a message, in a receipt and in an event. `answer`: where its
    answer is, as JSON; None if the client only deleted the message."""
    cdef bytes details = b',"how":"deleted"' if answer is None else b',"how":"answered"'
    if client.sender_block is not None:
        # Imported late, because a start must be quick.
        import json

        name = sender_in(client.sender_block).decode("utf-8", "replace")
        details += b',"by":' + json.dumps(name, ensure_ascii=False).encode()
    return details if answer is None else details + b',"answer":' + answer


cdef class Receipts:
    """One for each broker."""

    def __cinit__(
        self, MailboxIndex mailbox_index not None, Accumulator accumulator not None,
        MessageAdder adder not None, *, store,
    ):
        self.mailbox_index = mailbox_index
        self.accumulator = accumulator
        self.adder = adder
        self.store = store

    cdef bytes block_of(self, Mailbox mailbox, const FoundMessage* message):
        """The header block of a message of which receipts are wanted; None if it has no Mq9-Receipt-To.
        Raises what the store raises."""
        if not message.flags & HAS_RECEIPT_TO:
            return None
        return header_at(self.store, mailbox, message.rank, &message.location)

    cdef int settle(self, Mailbox mailbox, uint64_t msg_id, bytes block, bytes details) except -1:
        """Send the receipts of a message that a client deleted or answered; `details` are settled_details."""
        cdef bytes log = None if mailbox.options is None else mailbox.options.receipts_to
        return self.send(mailbox.address, log, msg_id, block, SETTLED, details)

    cdef int expire(self, Mailbox mailbox, uint64_t msg_id, const StoredMessage* message) except -1:
        """Send the receipts of an expired message, whose removal is in the commit group."""
        cdef bytes log = None if mailbox.options is None else mailbox.options.receipts_to
        cdef bytes block = None
        if not mailbox.wants_receipts(message.flags):
            return 0
        if message.flags & HAS_RECEIPT_TO:
            block = to_bytes(message.header)
        return self.send(mailbox.address, log, msg_id, block, EXPIRED, b"")

    def replaced(self, Mailbox mailbox not None, uint64_t msg_id, bytes block, bint may_discard) -> None:
        """Send the receipts of a message that a newer one replaced, whose removal is in the commit group.
        `block`: its header block, None if it has no Mq9-Receipt-To. If not `may_discard`, mailboxes that are
        full do not make room for them."""
        cdef bytes log = None if mailbox.options is None else mailbox.options.receipts_to
        self.send(mailbox.address, log, msg_id, block, REPLACED, b"", may_discard)

    cdef int send(
        self, bytes address, bytes log, uint64_t msg_id, bytes block, ReceiptEvent event, bytes details,
        bint may_discard=True
    ) except -1:
        """Send the receipts of a message of the mailbox `address`, whose removal is in the commit group.

        `log`: the mailbox's `receipts_to`, None or empty if it has none. `block`: the message's header block,
        None if it has no Mq9-Receipt-To. `details`: more fields of the receipt, each after a comma. If not
        `may_discard`, mailboxes that are full do not make room for the receipts. A mailbox never drops a
        message to take the receipt of one that it has just dropped: it would lose what it keeps.
        """
        cdef bytes name = <bytes>EVENTS[<int>event]
        cdef bytes header = b"NATS/1.0\r\nMq9-Receipt: %b\r\n\r\n" % name
        cdef bytes body = b'{"mail_address":"%b","msg_id":%d,"event":"%b"%b}' % (
            address, msg_id, name, details
        )
        cdef View receipt_to
        if log:
            self.add_to(view_of(log), header, body, may_discard and (event != REPLACED or log != address))
        if block is None or not is_listed(find_option(view_of(block), MQ9_RECEIPT_ON), event):
            return 0
        receipt_to = find_option(view_of(block), MQ9_RECEIPT_TO)
        if log and same(receipt_to, view_of(log)):
            return 0
        return self.add_to(
            receipt_to, header, body,
            may_discard and (event != REPLACED or not same(receipt_to, view_of(address)))
        )

    cdef int add_to(self, View address, bytes header, bytes body, bint may_discard) except -1:
        """Add a receipt to a mailbox, or drop it. The mailbox's TTL does not start again."""
        cdef Mailbox mailbox = self.mailbox_index.look_up(address)
        cdef NewMessage message = empty_message()
        cdef bint has_room = False
        message.rank = NORMAL
        message.flags = IS_RECEIPT
        message.composed = True
        message.header = view_of(header)
        message.payload = view_of(body)
        if mailbox is not None and not self.accumulator.disk_full and not self.accumulator.store_failed:
            if may_discard:
                has_room = self.adder.make_room(mailbox, &message)
            else:
                has_room = self.adder.has_room(mailbox, <uint64_t>content_bytes(&message))
        if not has_room:
            self.dropped += 1
            return 0
        self.sent += 1
        return self.adder.add(mailbox, &message)
