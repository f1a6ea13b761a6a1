"""The headers of a MSG that are times; the contract is in message_times.pxd."""

from libc.stdint cimport int64_t, uint64_t

from mq9fast._core.base.view cimport View, read_decimal, same, view
from mq9fast._core.protocol.duration cimport read_duration
from mq9fast._core.protocol.headers cimport MQ9_DELAY, MQ9_DELIVER_AT, NATS_TTL, MessageHeaders
from mq9fast._core.protocol.literals cimport NEVER
from mq9fast._core.protocol.rfc3339 cimport read_rfc3339
from mq9fast._core.storage.record cimport NewMessage, put_number
from mq9fast._core.storage.row_format cimport ENDLESS_LIFE, HAS_LIFE, TAG_LIFE

cdef enum:
    MIN_LIFE_MS = 1000

cdef extern from *:
    const uint64_t MAX_SECONDS "3162240000ull"


cdef bint read_life(View text, uint64_t* life_ms) noexcept:
    """Read the value of Nats-TTL, in milliseconds. False if it is not valid."""
    cdef uint64_t seconds = 0
    if same(text, NEVER):
        life_ms[0] = ENDLESS_LIFE
        return True
    if read_decimal(text, MAX_SECONDS, &seconds):
        life_ms[0] = seconds * 1000
    elif c'0' <= text.data[text.size - 1] <= c'9' or not read_duration(text, life_ms):
        return False
    return life_ms[0] >= MIN_LIFE_MS


cdef bint read_delay(const MessageHeaders* headers, int64_t wall_ms, uint64_t* delay_ms) noexcept:
    """Read Mq9-Delay or Mq9-Deliver-At, if there is one. False if it is not valid, or if there are both."""
    cdef int64_t at_ms = 0
    if headers.options & (1u << <unsigned int>MQ9_DELAY):
        return not headers.options & (1u << <unsigned int>MQ9_DELIVER_AT) and read_duration(
            headers.values[<int>MQ9_DELAY], delay_ms
        )
    if headers.options & (1u << <unsigned int>MQ9_DELIVER_AT):
        if not read_rfc3339(headers.values[<int>MQ9_DELIVER_AT], &at_ms):
            return False
        delay_ms[0] = <uint64_t>max(at_ms - wall_ms, <int64_t>0)
    return delay_ms[0] <= MAX_SECONDS * 1000


cdef bint read_times(
    const MessageHeaders* headers, int64_t wall_ms, NewMessage* message, char* attributes
) noexcept:
    """Set the delay and the life of a message, and write the life to `attributes`. `wall_ms`: Unix time now.
    False if a value is not valid. DANGER: the message then points to the attributes."""
    cdef char* at = attributes
    if headers.options & (1u << <unsigned int>NATS_TTL):
        if not read_life(headers.values[<int>NATS_TTL], &message.life_ms):
            return False
        message.flags |= HAS_LIFE
        at = put_number(at, TAG_LIFE, message.life_ms)
    message.attributes = view(attributes, at - attributes)
    return read_delay(headers, wall_ms, &message.delay_ms)
