"""Checks the header block of a MSG or of an answer, by a table of names.

`MailboxWriter` calls `read_headers` for each MSG and each answer that has headers. Some names are options of
mailboxes, some only the broker may write, and all others are stored as they are. `Answerer` reads the options
of a stored message, and what an answer has besides options.
"""

from mq9fast._core.base.view cimport View


cdef enum HeaderKind:
    # What a name means. The C names are for the table in headers.pyx.
    STORED_HEADER "MQ9FAST_STORED_HEADER"      # any other name
    BROKER_HEADER "MQ9FAST_BROKER_HEADER"      # removed from what clients send
    UNKNOWN_HEADER "MQ9FAST_UNKNOWN_HEADER"    # begins with Mq9- and is none of the others
    STREAM_HEADER "MQ9FAST_STREAM_HEADER"      # a condition for a JetStream stream
    # Options: at most one of each. They are stored too.
    NATS_MSG_ID "MQ9FAST_NATS_MSG_ID"
    NATS_TTL "MQ9FAST_NATS_TTL"
    MQ9_REPLY_TO "MQ9FAST_MQ9_REPLY_TO"
    MQ9_CORRELATION_ID "MQ9FAST_MQ9_CORRELATION_ID"
    MQ9_RECEIPT_TO "MQ9FAST_MQ9_RECEIPT_TO"
    MQ9_RECEIPT_ON "MQ9FAST_MQ9_RECEIPT_ON"
    MQ9_KEY "MQ9FAST_MQ9_KEY"
    MQ9_DELAY "MQ9FAST_MQ9_DELAY"
    MQ9_DELIVER_AT "MQ9FAST_MQ9_DELIVER_AT"
    HEADER_KINDS "MQ9FAST_HEADER_KINDS"


cdef enum HeaderFault:
    NO_FAULT
    MALFORMED          # not `NATS/1.0`, lines `name: value` and a blank line, each ended by CR LF
    UNKNOWN_OPTION
    REPEATED_OPTION
    STREAM_CONDITION
    EMPTY_OPTION


cdef struct MessageHeaders:
    # DANGER: the Views point into the block that was read.
    View block                  # without what only the broker may write; starts with the NATS/1.0 line
    unsigned int options        # the set of options that are given: bit `1 << kind`
    View values[HEADER_KINDS]   # of those, by kind, without blanks around them


cdef HeaderFault read_headers(View block, MessageHeaders* headers) noexcept
cdef View without_first_line(View block) noexcept
cdef bytes without_last_line(bytes block)
cdef bytes sender_in(bytes sender_block)
cdef View find_option(View block, HeaderKind kind) noexcept
cdef bint has_header(View block, View name) noexcept
cdef bytes lines_without_options(View block)
