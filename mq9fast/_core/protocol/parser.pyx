"""The parser of the NATS client protocol, called by `Session`; the contract is in parser.pxd."""

from libc.stdint cimport uint64_t
from libc.string cimport memchr, memset

from mq9fast._core.base.check cimport CHECKED, check
from mq9fast._core.base.view cimport View, read_decimal, starts_with, view
from mq9fast._core.protocol.literals cimport (
    CONNECT, ERR, HPUB, INFO, OK, PING, PONG, PUB, PUB_START, SUB, UNSUB
)

cdef enum:
    MAX_ARGUMENTS = 5
    MAX_SIZE = 0x7FFFFFFF
    MAX_SIZE_DIGITS = 9      # the same as nats-server's
    MAX_UNSUB_MAX = 0x7FFFFFFFFFFFFFFF


cdef struct Arguments:
    View at[MAX_ARGUMENTS]
    int count           # MAX_ARGUMENTS is more than any verb has


cdef inline bint is_blank(char c) noexcept:
    return c == c' ' or c == c'\t'


cdef inline bint spells(const char* data, Py_ssize_t size, View verb, Py_ssize_t* length) noexcept:
    """Whether the bytes begin with `verb`, as far as received, in any letter case. Sets its length."""
    cdef Py_ssize_t i
    length[0] = verb.size
    for i in range(min(size, verb.size)):
        if (data[i] | 0x20) != (verb.data[i] | 0x20):
            return False
    return True


cdef inline Verb verb_of(const char* data, Py_ssize_t size, Py_ssize_t* length) noexcept:
    """The verb at the start of the bytes, which may be incomplete, and its length; VERB_NONE for no verb."""
    cdef char first = data[0] | 0x20
    if first == c'p':
        if spells(data, size, PUB, length):
            return VERB_PUB
        if spells(data, size, PING, length):
            return VERB_PING
        if spells(data, size, PONG, length):
            return VERB_PONG
    elif first == c'h' and spells(data, size, HPUB, length):
        return VERB_HPUB
    elif first == c's' and spells(data, size, SUB, length):
        return VERB_SUB
    elif first == c'u' and spells(data, size, UNSUB, length):
        return VERB_UNSUB
    elif first == c'c' and spells(data, size, CONNECT, length):
        return VERB_CONNECT
    elif first == c'i' and spells(data, size, INFO, length):
        return VERB_IGNORED
    elif data[0] == c'+' and spells(data, size, OK, length):
        return VERB_IGNORED
    elif data[0] == c'-' and spells(data, size, ERR, length):
        return VERB_ERROR
    return VERB_NONE


cdef inline bint ignores_arguments(int verb) noexcept:
    """Whether the rest of the line has no meaning and may be anything."""
    return verb == VERB_PING or verb == VERB_PONG or verb == VERB_IGNORED


cdef inline void split(const char* at, const char* end, Arguments* arguments) noexcept:
    """Split the arguments of a control line at blanks."""
    cdef const char* start
    arguments.count = 0
    while arguments.count < MAX_ARGUMENTS:
        while at < end and is_blank(at[0]):
            at += 1
        if at == end:
            return
        start = at
        while at < end and not is_blank(at[0]):
            at += 1
        arguments.at[arguments.count] = view(start, at - start)
        arguments.count += 1


cdef inline bint read_size(View digits, uint64_t ceiling, uint64_t* size) noexcept:
    return digits.size <= MAX_SIZE_DIGITS and read_decimal(digits, ceiling, size)


cdef Outcome parse_payload(
    const char* data, Py_ssize_t size, const char* body, const Bounds* bounds, Operation* op,
    View header_size, View total_size,
) noexcept:
    """Read the sizes of a PUB or HPUB, then its header and payload, which start at `body`."""
    cdef uint64_t header = 0
    cdef uint64_t total = 0
    cdef Py_ssize_t line = body - data
    if not read_size(total_size, MAX_SIZE, &total):
        return BAD_ARGUMENTS
    if header_size.data is not NULL and not read_size(header_size, total, &header):
        return BAD_ARGUMENTS
    if <Py_ssize_t>total > bounds.payload_bytes:
        # The caller needs the header, which may ask for a trace, and the payload's size.
        if size - line >= <Py_ssize_t>header:
            op.header = view(body, <Py_ssize_t>header)
            op.payload = view(NULL, <Py_ssize_t>(total - header))
        return PAYLOAD_TOO_LARGE
    op.frame = line + <Py_ssize_t>total + 2
    if size < op.frame:
        return NEED_MORE
    if body[total] != c'\r' or body[total + 1] != c'\n':
        return BAD_VERB
    op.header = view(body, <Py_ssize_t>header)
    op.payload = view(body + header, <Py_ssize_t>(total - header))
    return FOUND


cdef Outcome parse_publish(
    const char* data, Py_ssize_t size, const char* body, const Bounds* bounds, Operation* op,
    Arguments* arguments,
) noexcept:
    """PUB subject [reply] size; HPUB subject [reply] header-size size."""
    cdef int sizes = 2 if op.verb == VERB_HPUB else 1
    cdef int count = arguments.count
    cdef View header_size = view(NULL, 0)
    if count != 1 + sizes and count != 2 + sizes:
        return BAD_ARGUMENTS
    op.subject = arguments.at[0]
    if count == 2 + sizes:
        op.reply = arguments.at[1]
    if sizes == 2:
        header_size = arguments.at[count - 2]
    return parse_payload(data, size, body, bounds, op, header_size, arguments.at[count - 1])


cdef Outcome parse_subscription(Operation* op, Arguments* arguments) noexcept:
    """SUB subject [queue] sid; UNSUB sid [max]."""
    cdef int count = arguments.count
    if op.verb == VERB_SUB:
        if count != 2 and count != 3:
            return BAD_ARGUMENTS
        op.subject = arguments.at[0]
        if count == 3:
            op.queue = arguments.at[1]
        op.sid = arguments.at[count - 1]
        return FOUND
    if count != 1 and count != 2:
        return BAD_ARGUMENTS
    op.sid = arguments.at[0]
    if count == 2 and not read_decimal(arguments.at[1], MAX_UNSUB_MAX, &op.maximum):
        op.maximum = 0     # an invalid maximum unsubscribes at once, as in nats-server
    return FOUND


cdef const char* end_of_line(
    const char* data, Py_ssize_t size, Py_ssize_t start, const Bounds* bounds, Outcome* outcome
) noexcept:
    """The LF of the line whose arguments begin at `start`. NULL if the line is too long or not complete;
    `outcome` then says which."""
    cdef const char* end = <const char*>memchr(
        data + start, c'\n', <size_t>min(size - start, bounds.control_line_bytes + 2)
    )
    cdef Py_ssize_t length = (size if end is NULL else end - data) - start
    outcome[0] = NEED_MORE
    if end is not NULL and length and (end - 1)[0] == c'\r':
        length -= 1
    if length > bounds.control_line_bytes + (end is NULL):
        outcome[0] = LINE_TOO_LONG
        return NULL
    return end


cdef inline const char* end_of_token(const char* at, const char* end) noexcept:
    """The first byte that is a blank or a control character, or `end`."""
    while at < end and <unsigned char>at[0] > c' ':
        at += 1
    return at


cdef inline const char* read_digits(const char* at, const char* end, Py_ssize_t* number) noexcept:
    """Read all digits. DANGER: the number is correct only if it has at most 18 digits. A longer one wraps
    around, which C defines for unsigned integers only."""
    cdef uint64_t value = 0
    while at < end and c'0' <= at[0] <= c'9':
        value = value * 10 + <uint64_t>(at[0] - c'0')
        at += 1
    number[0] = <Py_ssize_t>value
    return at


cdef inline bint parse_common_publish(
    const char* data, Py_ssize_t size, const Bounds* bounds, Operation* op
) noexcept:
    """The fast path: a complete `PUB subject [reply] size` in the spelling that client libraries use. It
    reads each byte of the line once. False for anything else, valid or not, which `parse_any` then reads."""
    cdef const char* end = data + min(size, bounds.control_line_bytes)
    cdef const char* subject = data + PUB_START.size
    cdef const char* reply
    cdef const char* at
    cdef const char* digits
    cdef Py_ssize_t total = 0
    if not starts_with(view(data, size), PUB_START):
        return False
    at = end_of_token(subject, end)
    if at == subject or at == end or at[0] != c' ':
        return False
    op.subject = view(subject, at - subject)
    op.reply = view(NULL, 0)
    digits = at + 1
    at = read_digits(digits, end, &total)
    if at < end and at[0] != c'\r':
        reply = digits
        at = end_of_token(at, end)
        if at == reply or at == end or at[0] != c' ':
            return False
        op.reply = view(reply, at - reply)
        digits = at + 1
        at = read_digits(digits, end, &total)
    if end - at < 2 or at[0] != c'\r' or at[1] != c'\n' or not 0 < at - digits <= MAX_SIZE_DIGITS:
        return False
    at += 2
    if total > bounds.payload_bytes or size - (at - data) < total + 2:
        return False
    if at[total] != c'\r' or at[total + 1] != c'\n':
        return False
    op.verb = VERB_PUB
    op.frame = at - data + total + 2
    op.payload = view(at, total)
    op.header = op.queue = op.sid = view(NULL, 0)
    op.maximum = 0
    return True


cdef void check_frame(const char* data, Py_ssize_t size, Outcome outcome, const Operation* op) noexcept:
    if outcome == FOUND:
        check(0 < op.frame <= size, b"a frame ends in what was read")
        check(is_inside(&op.subject, data, op.frame), b"a subject is in its frame")
        check(is_inside(&op.reply, data, op.frame), b"a reply subject is in its frame")
        check(is_inside(&op.queue, data, op.frame), b"a queue name is in its frame")
        check(is_inside(&op.sid, data, op.frame), b"a sid is in its frame")
        check(is_inside(&op.header, data, op.frame), b"a header is in its frame")
        check(is_inside(&op.payload, data, op.frame), b"a payload is in its frame")
    elif outcome == NEED_MORE:
        check(op.frame == 0 or op.frame > size, b"an incomplete frame is longer than the bytes read")


cdef inline bint is_inside(const View* part, const char* data, Py_ssize_t size) noexcept:
    return part.size == 0 or part.data >= data and part.data + part.size <= data + size


cdef Outcome parse(const char* data, Py_ssize_t size, const Bounds* bounds, Operation* op) noexcept:
    """Find the first frame of `data`, which has at least one byte."""
    cdef Outcome outcome = FOUND
    if not parse_common_publish(data, size, bounds, op):
        outcome = parse_any(data, size, bounds, op)
    if CHECKED:
        check_frame(data, size, outcome, op)
    return outcome


cdef Outcome parse_any(const char* data, Py_ssize_t size, const Bounds* bounds, Operation* op) noexcept:
    cdef Py_ssize_t verb_size = 0
    cdef Py_ssize_t start
    cdef Outcome outcome
    cdef const char* end
    cdef const char* body
    cdef Arguments arguments
    memset(op, 0, sizeof(Operation))
    op.verb = verb_of(data, size, &verb_size)
    if op.verb == VERB_NONE:
        return BAD_VERB
    if size <= verb_size:
        return NEED_MORE
    start = verb_size
    while start < size and start < verb_size + bounds.control_line_bytes and is_blank(data[start]):
        start += 1
    if start == verb_size and not ignores_arguments(op.verb) and op.verb != VERB_CONNECT:
        return BAD_VERB
    end = end_of_line(data, size, start, bounds, &outcome)
    if end is NULL:
        return outcome
    body = end + 1
    op.frame = body - data
    if ignores_arguments(op.verb) or op.verb == VERB_ERROR:
        return FOUND
    if end > data + start and (end - 1)[0] == c'\r':
        end -= 1
    if op.verb == VERB_CONNECT:
        op.payload = view(data + start, end - data - start)
        return FOUND
    split(data + start, end, &arguments)
    if op.verb == VERB_PUB or op.verb == VERB_HPUB:
        return parse_publish(data, size, body, bounds, op, &arguments)
    return parse_subscription(op, &arguments)
