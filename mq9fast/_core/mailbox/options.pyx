"""The options of one mailbox; the contract, and who uses it, is in options.pxd."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View, to_bytes
from mq9fast._core.storage.record cimport AttributeReader, next_attribute, put_number, read_number
from mq9fast._core.storage.row_format cimport (
    NUMBER_BYTES, TAG_ACK_WAIT, TAG_BACKOFF, TAG_DEAD_LETTER, TAG_DEAD_LETTER_EXPIRED, TAG_DISCARD,
    TAG_DUPLICATE_WINDOW, TAG_MAX_AGE, TAG_MAX_BYTES, TAG_MAX_DELIVER, TAG_MAX_IN_FLIGHT, TAG_MAX_MESSAGES,
    TAG_RECEIPTS_TO, read_u64
)

from mq9fast._core.storage.record import CorruptRecord

cdef enum:
    NUMBERS = 8           # options that are numbers
    DISCARD_OLD = 1       # the value of TAG_DISCARD


cdef class MailboxOptions:
    """The options of `base` with some changed: those that are not None. OverflowError if one is negative or
    too large."""

    def __cinit__(
        self, MailboxOptions base=None, *, max_messages=None, max_bytes=None, duplicate_window_ms=None,
        discards_old=None, max_age_ms=None, max_in_flight=None, backoff_ms=None, ack_wait_ms=None,
        bytes receipts_to=None, max_deliver=None, bytes dead_letter=None, dead_letter_expired=None,
    ):
        self.duplicate_window_ms = DEFAULT_DUPLICATE_WINDOW_MS
        self.packed_backoff = self.receipts_to = b""
        if base is not None:
            self.max_messages = base.max_messages
            self.max_bytes = base.max_bytes
            self.duplicate_window_ms = base.duplicate_window_ms
            self.discards_old = base.discards_old
            self.max_age_ms = base.max_age_ms
            self.max_in_flight = base.max_in_flight
            self.has_max_in_flight = base.has_max_in_flight
            self.packed_backoff = base.packed_backoff
            self.ack_wait_ms = base.ack_wait_ms
            self.receipts_to = base.receipts_to
            self.max_deliver = base.max_deliver
            self.dead_letter = base.dead_letter
            self.dead_letter_expired = base.dead_letter_expired
        if max_messages is not None:
            self.max_messages = max_messages
        if max_bytes is not None:
            self.max_bytes = max_bytes
        if duplicate_window_ms is not None:
            self.duplicate_window_ms = duplicate_window_ms
        if discards_old is not None:
            self.discards_old = discards_old
        if max_age_ms is not None:
            self.max_age_ms = max_age_ms
        if max_in_flight is not None:
            self.max_in_flight = max_in_flight
            self.has_max_in_flight = True
        if backoff_ms is not None:
            self.packed_backoff = b"".join([number.to_bytes(8, "big") for number in backoff_ms])
        if ack_wait_ms is not None:
            self.ack_wait_ms = ack_wait_ms
        if receipts_to is not None:
            self.receipts_to = receipts_to
        if max_deliver is not None:
            self.max_deliver = max_deliver
        if dead_letter is not None:
            self.dead_letter = dead_letter or None
        if dead_letter_expired is not None:
            self.dead_letter_expired = dead_letter_expired
        self.set_default()
        self.pack()

    cdef void set_default(self) noexcept:
        """Set `max_in_flight` if it was not given."""
        if not self.has_max_in_flight:
            self.max_in_flight = 1 if self.ack_wait_ms or self.max_deliver else 0

    cdef int pack(self) except -1:
        """Set `packed`: each option that is not at its default."""
        cdef char[NUMBERS * NUMBER_BYTES] buffer
        cdef char* at = buffer
        at = put_number(at, TAG_MAX_MESSAGES, self.max_messages)
        at = put_number(at, TAG_MAX_BYTES, self.max_bytes)
        if self.duplicate_window_ms != DEFAULT_DUPLICATE_WINDOW_MS:
            at = put_number(at, TAG_DUPLICATE_WINDOW, self.duplicate_window_ms + 1)
        at = put_number(at, TAG_DISCARD, DISCARD_OLD if self.discards_old else 0)
        at = put_number(at, TAG_MAX_AGE, self.max_age_ms)
        if self.has_max_in_flight:
            at = put_number(at, TAG_MAX_IN_FLIGHT, self.max_in_flight + 1)
        at = put_number(at, TAG_ACK_WAIT, self.ack_wait_ms)
        at = put_number(at, TAG_MAX_DELIVER, self.max_deliver)
        self.packed = PyBytes_FromStringAndSize(buffer, at - buffer)
        if self.packed_backoff:
            self.packed += pack_attribute(TAG_BACKOFF, self.packed_backoff)
        if self.dead_letter is not None:
            self.packed += pack_attribute(TAG_DEAD_LETTER, self.dead_letter)
        if self.dead_letter_expired:
            self.packed += pack_attribute(TAG_DEAD_LETTER_EXPIRED, b"\1")
        if self.receipts_to:
            self.packed += pack_attribute(TAG_RECEIPTS_TO, self.receipts_to)
        return 0

    cdef uint64_t backoff_ms(self, uint64_t failures) noexcept:
        """How long a message waits after so many failed deliveries."""
        cdef Py_ssize_t count = PyBytes_GET_SIZE(self.packed_backoff) // 8
        if count == 0 or failures == 0:
            return 0
        return read_u64(PyBytes_AS_STRING(self.packed_backoff) + 8 * (min(<uint64_t>count, failures) - 1))

    @property
    def backoff(self) -> list:
        """How many milliseconds a message waits after a failed delivery, by their number."""
        cdef Py_ssize_t count = PyBytes_GET_SIZE(self.packed_backoff) // 8
        return [self.backoff_ms(<uint64_t>failures) for failures in range(1, count + 1)]


cdef bytes pack_attribute(int tag, bytes value):
    return bytes([tag]) + len(value).to_bytes(2, "big") + value


cdef MailboxOptions unpack_options(View attributes):
    """The options in a mailbox record; None if there are none. CorruptRecord for what this format has not."""
    cdef AttributeReader reader
    cdef MailboxOptions options
    cdef uint64_t discard = 0
    if attributes.size == 0:
        return None
    options = MailboxOptions()
    reader.rest = attributes
    reader.tag = 0
    while next_attribute(&reader):
        if reader.tag == TAG_MAX_MESSAGES:
            read_number(&reader, &options.max_messages)
        elif reader.tag == TAG_MAX_BYTES:
            read_number(&reader, &options.max_bytes)
        elif reader.tag == TAG_DUPLICATE_WINDOW:
            read_number(&reader, &options.duplicate_window_ms)
            options.duplicate_window_ms -= 1
        elif reader.tag == TAG_DISCARD:
            read_number(&reader, &discard)
            if discard != DISCARD_OLD:
                raise CorruptRecord(f"a mailbox record has the unknown value {discard} for 'discard'")
            options.discards_old = True
        elif reader.tag == TAG_MAX_AGE:
            read_number(&reader, &options.max_age_ms)
        elif reader.tag == TAG_MAX_IN_FLIGHT:
            read_number(&reader, &options.max_in_flight)
            options.max_in_flight -= 1
            options.has_max_in_flight = True
        elif reader.tag == TAG_ACK_WAIT:
            read_number(&reader, &options.ack_wait_ms)
        elif reader.tag == TAG_MAX_DELIVER:
            read_number(&reader, &options.max_deliver)
        elif reader.tag == TAG_DEAD_LETTER:
            options.dead_letter = to_bytes(reader.value)
        elif reader.tag == TAG_DEAD_LETTER_EXPIRED and reader.value.size == 1:
            options.dead_letter_expired = True
        elif reader.tag == TAG_BACKOFF and reader.value.size and reader.value.size % 8 == 0:
            options.packed_backoff = to_bytes(reader.value)
        elif reader.tag == TAG_RECEIPTS_TO and reader.value.size:
            options.receipts_to = to_bytes(reader.value)
        else:
            raise CorruptRecord(f"a mailbox record has the unknown attribute {reader.tag}")
    options.set_default()
    options.packed = to_bytes(attributes)
    return options
