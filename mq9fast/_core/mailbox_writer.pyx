"""What comes in for mailboxes; see mailbox_writer.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View, last_dot, read_decimal, slice_from, starts_with, to_bytes, view
from mq9fast._core.commit.batch_deletes cimport Erased
from mq9fast._core.commit.commit_group cimport ACK_BODY, ACK_DELETED, ACK_MSG_ID, ACK_NOT_DELETED, Turn
from mq9fast._core.commit.deleted_row cimport ErasedRow
from mq9fast._core.delivery.delivery cimport Delivery
from mq9fast._core.delivery.in_flight cimport DELETING, HELD, Hold
from mq9fast._core.delivery.queue_group cimport Group, Member
from mq9fast._core.mailbox.mailbox cimport Directory, Mailbox
from mq9fast._core.protocol.address cimport RANKS, Rank, split_priority, valid_address
from mq9fast._core.protocol.headers cimport has_name_with
from mq9fast._core.protocol.parser cimport Operation
from mq9fast._core.pubsub.client cimport COST_TO_LOOK, Agenda, Client
from mq9fast._core.storage.record_batch cimport Spot

cdef enum:
    LARGEST_ID = 0x7FFFFFFFFFFFFFFF


cdef class Intake:
    """Accepts what clients send to `$mq9.` subjects.

    `refusals` maps each error code, and "code: reason" where a code has several sentences, to the JSON to
    reply with. Limits are counts and bytes, 0 for none.
    """

    def __cinit__(
        self, Directory directory not None, Delivery delivery not None, Agenda agenda not None,
        Turn turn not None, dict refusals not None, *, uint64_t most_messages, uint64_t most_mailbox_bytes,
        uint64_t most_store_bytes, Py_ssize_t stall_bytes,
    ):
        self.directory = directory
        self.delivery = delivery
        self.agenda = agenda
        self.turn = turn
        self.refusals = refusals
        self.most_messages = most_messages
        self.most_mailbox_bytes = most_mailbox_bytes
        self.most_store_bytes = most_store_bytes
        self.stall_bytes = stall_bytes

    def next_turn(self, Turn successor not None) -> Turn:
        """Gather into `successor` from here on; returns the turn so far."""
        turn = self.turn
        successor.erased = turn.erased
        self.turn = successor
        self.turn_number += 1
        return turn

    @property
    def row_bytes(self) -> int:
        """What may be kept of rows that deletions looked up, in bytes."""
        return self.turn.erased.index.most_bytes

    @row_bytes.setter
    def row_bytes(self, Py_ssize_t most) -> None:
        self.turn.erased.index.most_bytes = most

    def forget_rows(self) -> None:
        """Ask the store again which messages there are: it lacks a batch, or others changed rows."""
        self.turn.erased.forget()

    cdef int publish(self, Client client, const Operation* op) except -1:
        """Take a publish whose subject begins with `$mq9.`."""
        cdef View rest
        self.agenda.call()
        if not starts_with(op.subject, view(b"$mq9.AI.MAILBOX.", 16)):
            return self.refuse(op.reply, "unknown_command")
        rest = slice_from(op.subject, 16)
        if starts_with(rest, view(b"MSG.", 4)):
            self.message(client, op, slice_from(rest, 4))
        elif starts_with(rest, view(b"DELETE.", 7)):
            self.delete(client, op, slice_from(rest, 7))
        else:
            self.agenda.cost += COST_TO_LOOK
            self.command(to_bytes(rest), to_bytes(op.payload), to_bytes(op.reply))
        if self.turn.bytes > self.stall_bytes:
            client.stall()
        return 0

    cdef int refuse(self, View reply, str code) except -1:
        """Answer with an error, in its turn; count what nobody hears of."""
        if reply.size == 0:
            self.dropped += 1
            return 0
        return self.turn.add_ack(reply, ACK_BODY, 0, <bytes>self.refusals[code])

    cdef int message(self, Client client, const Operation* op, View rest) except -1:
        """MSG.{mail_address}[.priority]: give the message its id and put it into the turn."""
        cdef View address
        cdef Rank rank
        cdef Mailbox mailbox
        cdef uint64_t size = <uint64_t>(op.header.size + op.payload.size)
        cdef uint64_t msg_id
        if not split_priority(rest, &address, &rank):
            return self.refuse(op.reply, "invalid_address")
        if op.header.size and has_name_with(op.header, view(b"nats-expected-", 14)):
            return self.refuse(op.reply, "bad_request: nats_expected")
        mailbox = self.directory.look_up(address)
        if mailbox is None and self.auto_create is None:
            return self.refuse(op.reply, "mailbox_not_found")
        if self.full or self.failed:
            return self.refuse(op.reply, "store_unavailable")
        if not self.has_room(mailbox, size):
            self.over_limit += 1
            return self.refuse(op.reply, "limit_exceeded")
        if mailbox is None:
            self.agenda.cost += COST_TO_LOOK
            mailbox = self.auto_create(to_bytes(address))
            if mailbox is None:
                return self.refuse(op.reply, "limit_exceeded")
        msg_id = mailbox.next_id
        self.turn.add_message(mailbox, rank, msg_id, self.directory.now_ms, op.header, op.payload)
        mailbox.next_id += 1
        mailbox.renewed_ms = self.directory.now_ms
        self.directory.added(mailbox, rank, size)
        self.accepted += 1
        return self.turn.add_ack(op.reply, ACK_MSG_ID, msg_id, None)

    cdef bint has_room(self, Mailbox mailbox, uint64_t size) noexcept:
        """Whether the limits allow a message of `size`; `mailbox` is None if it is still to be made."""
        cdef uint64_t messages = 0 if mailbox is None else mailbox.total()
        cdef uint64_t held = 0 if mailbox is None else mailbox.size_bytes
        if self.most_messages and messages >= self.most_messages:
            return False
        if self.most_mailbox_bytes and held + size > self.most_mailbox_bytes:
            return False
        return not self.most_store_bytes or self.directory.stored_bytes() + size <= self.most_store_bytes

    cdef int delete(self, Client client, const Operation* op, View rest) except -1:
        """DELETE.{mail_address}.{msg_id}, which is also what answering a delivered message comes to."""
        cdef Py_ssize_t dot = last_dot(rest)
        cdef View address = view(rest.data, max(dot, 0))
        cdef uint64_t msg_id = 0
        cdef Mailbox mailbox
        if not read_decimal(slice_from(rest, dot + 1), LARGEST_ID, &msg_id):
            return self.refuse(op.reply, "bad_request")
        if not valid_address(address):
            return self.refuse(op.reply, "invalid_address")
        mailbox = self.directory.look_up(address)
        if mailbox is None:
            return self.refuse(op.reply, "mailbox_not_found")
        if starts_with(op.payload, view(b"+WPI", 4)):
            return self.turn.add_ack(op.reply, ACK_NOT_DELETED, 0, None)
        if starts_with(op.payload, view(b"-NAK", 4)):
            self.give_back(client, mailbox, msg_id)
            return self.turn.add_ack(op.reply, ACK_NOT_DELETED, 0, None)
        try:
            if not self.erase(mailbox, msg_id):
                return self.turn.add_ack(op.reply, ACK_NOT_DELETED, 0, None)
        except self.store_error:
            return self.refuse(op.reply, "store_unavailable")
        self.deleted += 1
        return self.turn.add_ack(op.reply, ACK_DELETED, 0, None)

    cdef bint erase(self, Mailbox mailbox, uint64_t msg_id) except -1:
        """Put the deletion of a message into the turn; false if there is no such message."""
        cdef int rank = 0
        cdef uint64_t size = 0
        cdef Erased erased = self.turn.erased
        cdef uint64_t looks = erased.looks
        cdef bint found
        if msg_id >= mailbox.next_id:
            return False
        found = self.erase_held(mailbox, msg_id, &rank, &size)
        found = found or self.erase_stored(mailbox, msg_id, &rank, &size)
        if erased.looks != looks:
            self.agenda.cost += COST_TO_LOOK
        if not found:
            return False
        self.directory.removed(mailbox, rank, msg_id, size)
        self.directory.note_sparse(mailbox)
        return True

    cdef bint erase_held(self, Mailbox mailbox, uint64_t msg_id, int* rank, uint64_t* size) except -1:
        """The same if a group has given the message out, which says all about it; each such group lets go."""
        cdef Group group
        cdef Hold* hold
        cdef ErasedRow row = None
        if not mailbox.groups:
            return False
        for group in mailbox.groups.values():
            hold = group.holding.find(msg_id)
            if hold is NULL or hold.state == DELETING:
                continue
            if row is None:
                rank[0] = <int>hold.item.major
                size[0] = hold.size
                row = self.turn.erased.row(mailbox.uid, rank[0], &hold.spot, self.store)
                if not self.erase_in(mailbox, row, hold.spot.index, msg_id, size[0], True):
                    return False
            group.deleting(hold)
        return row is not None

    cdef bint erase_stored(self, Mailbox mailbox, uint64_t msg_id, int* rank, uint64_t* size) except -1:
        """The same for any other message: the store is asked for it. What is still in the batch is written
        first, so that it knows."""
        cdef Spot spot
        cdef ErasedRow row
        cdef int wanted
        if msg_id >= mailbox.written_id:
            self.agenda.cost += COST_TO_LOOK
            self.write_out()
        for wanted in range(RANKS - 1, -1, -1):
            if mailbox.count[wanted] == 0 or msg_id < mailbox.head[wanted]:
                continue
            if self.turn.erased.find(mailbox.uid, wanted, msg_id, self.store, &spot, size):
                rank[0] = wanted
                row = self.turn.erased.row(mailbox.uid, wanted, &spot, self.store)
                if not self.erase_in(mailbox, row, spot.index, msg_id, size[0], False):
                    return False
                self.retract(mailbox, msg_id)
                return True
        return False

    cdef bint erase_in(
        self, Mailbox mailbox, ErasedRow row, int index, uint64_t msg_id, uint64_t size, bint held
    ) except -1:
        """The same of its row; see Turn.add_delete."""
        cdef uint64_t dead_before = mailbox.dead_bytes
        if not self.turn.add_delete(mailbox, row, index, msg_id, size, held):
            return False
        self.directory.dead_changed(mailbox, dead_before)
        return True

    cdef int retract(self, Mailbox mailbox, uint64_t msg_id) except -1:
        """A message that is not durable yet was deleted: nobody is to read it live."""
        if msg_id >= mailbox.durable_id:
            self.turn.retracting.append((mailbox.uid, msg_id))
            self.turn.retract(mailbox, msg_id)
            if self.unreleased is not None:
                self.unreleased.retract(mailbox, msg_id)
        return 0

    cdef int give_back(self, Client client, Mailbox mailbox, uint64_t msg_id) except -1:
        """-NAK: what the client itself holds of a group goes to whoever is next; anything else stays."""
        cdef Group group
        cdef Hold* hold
        cdef Member member
        if not mailbox.groups:
            return 0
        for group in list(mailbox.groups.values()):
            hold = group.holding.find(msg_id)
            if hold is NULL or hold.state != HELD:
                continue
            member = group.holder(hold)
            if member is not None and member.subscription.client is client:
                group.give_back(hold)
                self.delivery.read_or_forget(group)
        return 0
