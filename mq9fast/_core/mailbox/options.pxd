"""The options of one mailbox: the fields of CREATE that change how it behaves.

`mailbox/options.py` makes them from a CREATE, and the index of mailboxes loads them from mailbox records. A
mailbox that has none has no such object, so that a check for options costs nothing else. An object never
changes: a CREATE that changes options replaces it.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View


cdef enum:
    DEFAULT_DUPLICATE_WINDOW_MS = 120_000


cdef class MailboxOptions:
    # Counts, and sizes in bytes of headers and payloads; 0 = no limit.
    cdef readonly uint64_t max_messages
    cdef readonly uint64_t max_bytes
    # How long a Nats-Msg-Id is remembered; 0 = not at all.
    cdef readonly uint64_t duplicate_window_ms
    # How long each message lives; 0 = no limit.
    cdef readonly uint64_t max_age_ms
    # Past its size the mailbox drops old messages, instead of refusing new ones.
    cdef readonly bint discards_old

    # Unanswered messages that one member of a queue group may hold; 0 = no limit.
    cdef readonly uint64_t max_in_flight
    cdef bint has_max_in_flight           # it was given, and is not the default
    # How long a member may hold a message without an answer; 0 = as long as it likes.
    cdef readonly uint64_t ack_wait_ms
    # After how many failed deliveries a message becomes a dead letter; 0 = never.
    cdef readonly uint64_t max_deliver
    cdef readonly bytes dead_letter       # where dead letters go; None = they are dropped
    cdef readonly bint dead_letter_expired  # messages that expire become dead letters too
    # How long a message waits after a failed delivery, by their number; the last one repeats. Big-endian
    # numbers of 8 bytes.
    cdef bytes packed_backoff

    # The mailbox that receives receipts of all messages; empty if there is none.
    cdef readonly bytes receipts_to

    cdef readonly bytes packed            # the attributes of a mailbox record

    cdef void set_default(self) noexcept
    cdef uint64_t backoff_ms(self, uint64_t failures) noexcept
    cdef int pack(self) except -1

    cdef inline bint has_room(self, uint64_t messages, uint64_t size_bytes) noexcept:
        """Whether the mailbox may have so many messages and bytes."""
        return (
            (self.max_messages == 0 or messages <= self.max_messages)
            and (self.max_bytes == 0 or size_bytes <= self.max_bytes)
        )


cdef MailboxOptions unpack_options(View attributes)
