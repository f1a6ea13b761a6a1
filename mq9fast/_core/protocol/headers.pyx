"""The header block of a MSG or of an answer; the contract is in headers.pxd."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memchr, memmove

from mq9fast._core.base.view cimport View, empty_view, slice_from, starts_with, to_bytes, view
from mq9fast._core.protocol.literals cimport CRLF, HEADER_VERSION_LINE

# Every header block with a proved sender begins with this; the name and CR LF follow.
SENDER_START = b"NATS/1.0\r\nMq9-From: "


cdef struct HeaderRow "mq9fast_header_row":
    View name
    HeaderKind kind


cdef extern from *:
    """
    /* In lower case. One that ends in '-' stands for all that begin with it. The first that fits counts. */
    #define MQ9FAST_HEADER_TABLE ((const struct mq9fast_header_row[]){ \\
        {MQ9FAST_LITERAL("nats-msg-id"),     MQ9FAST_NATS_MSG_ID}, \\
        {MQ9FAST_LITERAL("nats-ttl"),        MQ9FAST_NATS_TTL}, \\
        {MQ9FAST_LITERAL("nats-expected-"),  MQ9FAST_STREAM_HEADER}, \\
        {MQ9FAST_LITERAL("mq9-reply-to"),    MQ9FAST_MQ9_REPLY_TO}, \\
        {MQ9FAST_LITERAL("mq9-correlation-id"), MQ9FAST_MQ9_CORRELATION_ID}, \\
        {MQ9FAST_LITERAL("mq9-receipt-to"),  MQ9FAST_MQ9_RECEIPT_TO}, \\
        {MQ9FAST_LITERAL("mq9-receipt-on"),  MQ9FAST_MQ9_RECEIPT_ON}, \\
        {MQ9FAST_LITERAL("mq9-from"),        MQ9FAST_BROKER_HEADER}, \\
        {MQ9FAST_LITERAL("mq9-deliveries"),  MQ9FAST_BROKER_HEADER}, \\
        {MQ9FAST_LITERAL("mq9-dead-"),       MQ9FAST_BROKER_HEADER}, \\
        {MQ9FAST_LITERAL("mq9-in-reply-to"), MQ9FAST_BROKER_HEADER}, \\
        {MQ9FAST_LITERAL("mq9-receipt"),     MQ9FAST_BROKER_HEADER}, \\
        {MQ9FAST_LITERAL("mq9-key"),         MQ9FAST_MQ9_KEY}, \\
        {MQ9FAST_LITERAL("mq9-delay"),       MQ9FAST_MQ9_DELAY}, \\
        {MQ9FAST_LITERAL("mq9-deliver-at"),  MQ9FAST_MQ9_DELIVER_AT}, \\
        {MQ9FAST_LITERAL("mq9-"),            MQ9FAST_UNKNOWN_HEADER}, \\
        {MQ9FAST_LITERAL(""),                MQ9FAST_STORED_HEADER}})
    """
    const HeaderRow* HEADER_TABLE "MQ9FAST_HEADER_TABLE"


cdef bint begins(View name, View prefix) noexcept:
    """Whether `name` begins with `prefix`, which is in lower case, in any letter case."""
    cdef Py_ssize_t i
    cdef char c
    if name.size < prefix.size:
        return False
    for i in range(prefix.size):
        c = name.data[i]
        if c'A' <= c <= c'Z':
            c |= 0x20
        if c != prefix.data[i]:
            return False
    return True


cdef HeaderKind kind_of(View name) noexcept:
    cdef const HeaderRow* row = HEADER_TABLE
    # Every name in the table begins with one of these, and most names of clients do not.
    if name.size == 0 or name.data[0] not in (c'M', c'm', c'N', c'n'):
        return STORED_HEADER
    while row.name.size:
        if row.name.size == name.size or row.name.data[row.name.size - 1] == c'-':
            if begins(name, row.name):
                break
        row += 1
    return row.kind


cdef inline View first_line(View lines) noexcept:
    """The first line of a block's rest, with its CR LF; all of the rest if that has no line end."""
    cdef const char* end = <const char*>memchr(lines.data, c'\n', <size_t>lines.size)
    return lines if end is NULL else view(lines.data, end - lines.data + 1)


cdef View name_of(View line) noexcept:
    """What is before the colon, if those are printable characters without blanks; else empty."""
    cdef Py_ssize_t i = 0
    while i < line.size and 0x21 <= line.data[i] <= 0x7E and line.data[i] != c':':
        i += 1
    return view(line.data, i if i < line.size and line.data[i] == c':' else 0)


cdef View without_blanks(View value) noexcept:
    while value.size and value.data[0] in (c' ', c'\t'):
        value = slice_from(value, 1)
    while value.size and value.data[value.size - 1] in (c' ', c'\t'):
        value.size -= 1
    return value


cdef HeaderFault read_line(View line, MessageHeaders* headers, Py_ssize_t* broker_bytes) noexcept:
    """Check one line, which ends with its only LF."""
    cdef View name = name_of(line)
    cdef View value = view(line.data + name.size, line.size - name.size)    # from the colon on
    cdef HeaderKind kind
    if name.size == 0 or memchr(value.data, c'\r', <size_t>value.size) != line.data + line.size - 2:
        return MALFORMED
    kind = kind_of(name)
    if kind == STORED_HEADER:
        return NO_FAULT
    if kind == BROKER_HEADER:
        broker_bytes[0] += line.size
        return NO_FAULT
    if kind == UNKNOWN_HEADER:
        return UNKNOWN_OPTION
    if kind == STREAM_HEADER:
        return STREAM_CONDITION
    if headers.options & (1u << <unsigned int>kind):
        return REPEATED_OPTION
    headers.options |= 1u << <unsigned int>kind
    headers.values[<int>kind] = without_blanks(view(value.data + 1, value.size - 3))
    return NO_FAULT if headers.values[<int>kind].size else EMPTY_OPTION


cdef HeaderFault read_block(View block, MessageHeaders* headers, Py_ssize_t* broker_bytes) noexcept:
    """Check all lines. `broker_bytes`: the size of those that only the broker may write."""
    cdef const char* at
    cdef const char* line_end
    cdef const char* end = block.data + block.size
    cdef HeaderFault fault
    headers.block = block
    headers.options = 0
    broker_bytes[0] = 0
    if not starts_with(block, HEADER_VERSION_LINE) or memchr(block.data, 0, <size_t>block.size) is not NULL:
        return MALFORMED
    at = block.data + HEADER_VERSION_LINE.size
    while at < end:
        line_end = <const char*>memchr(at, c'\n', <size_t>(end - at))
        if line_end is NULL:
            return MALFORMED
        line_end += 1
        if at[0] == c'\r':
            return NO_FAULT if line_end == at + 2 and line_end == end else MALFORMED
        fault = read_line(view(at, line_end - at), headers, broker_bytes)
        if fault != NO_FAULT:
            return fault
        at = line_end
    return MALFORMED


cdef View remove_broker_lines(View block) noexcept:
    """Remove what only the broker may write from a valid block, in place."""
    cdef char* kept = <char*>block.data + HEADER_VERSION_LINE.size
    cdef const char* at = kept
    cdef const char* end = block.data + block.size
    cdef Py_ssize_t size
    while at < end:
        size = <const char*>memchr(at, c'\n', <size_t>(end - at)) - at + 1
        if kind_of(name_of(view(at, size))) != BROKER_HEADER:
            memmove(kept, at, <size_t>size)
            kept += size
        at += size
    return view(block.data, kept - block.data)


cdef HeaderFault read_headers(View block, MessageHeaders* headers) noexcept:
    """Check a block that is not empty. DANGER: this changes its bytes if clients wrote what only the broker
    may write; `headers.block` is the rest."""
    cdef Py_ssize_t broker_bytes = 0
    cdef HeaderFault fault = read_block(block, headers, &broker_bytes)
    if fault == NO_FAULT and broker_bytes:
        # The lines moved, so the values are elsewhere.
        fault = read_block(remove_broker_lines(block), headers, &broker_bytes)
    return fault


# These read blocks of the store as well. One that is damaged is read as what it says, within its bytes.


cdef View without_first_line(View block) noexcept:
    """A valid block without its NATS/1.0 line, to be stored behind headers of the broker."""
    return slice_from(block, min(HEADER_VERSION_LINE.size, block.size))


cdef bytes without_last_line(bytes block):
    """A valid block without the blank line at its end, so that more headers can follow."""
    return to_bytes(view(PyBytes_AS_STRING(block), max(PyBytes_GET_SIZE(block) - CRLF.size, 0)))


cdef View find_option(View block, HeaderKind kind) noexcept:
    """The value of an option in a block that was accepted; empty if it is not given."""
    cdef View rest = without_first_line(block)
    cdef View line, name
    while rest.size > CRLF.size:
        line = first_line(rest)
        name = name_of(line)
        if kind_of(name) == kind:
            line = slice_from(line, name.size + 1)
            return without_blanks(view(line.data, max(line.size - CRLF.size, 0)))
        rest = slice_from(rest, line.size)
    return empty_view()


cdef bint has_header(View block, View name) noexcept:
    """Whether an accepted block, which may be empty, has a header. `name`: in lower case."""
    cdef View rest
    cdef View line
    if block.size == 0:
        return False
    rest = without_first_line(block)
    while rest.size > CRLF.size:
        line = first_line(rest)
        if name_of(line).size == name.size and begins(line, name):
            return True
        rest = slice_from(rest, line.size)
    return False


cdef bytes lines_without_options(View block):
    """The lines of an accepted block that are stored as they are, without the blank line at the end."""
    cdef View rest = without_first_line(block)
    cdef View line
    cdef list kept = []
    while rest.size > CRLF.size:
        line = first_line(rest)
        if kind_of(name_of(line)) == STORED_HEADER:
            kept.append(to_bytes(line))
        rest = slice_from(rest, line.size)
    return b"".join(kept)


cdef bytes sender_in(bytes sender_block):
    """The name in a block that `sender_block` made."""
    return sender_block[len(SENDER_START):len(sender_block) - 4]


def sender_block(bytes name not None) -> bytes:
    """The header block that proves that the client with this name sent a message."""
    return SENDER_START + name + b"\r\n\r\n"
