"""The headers of a MSG that are times; the contract is in message_times.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View, read_decimal, same, view
from mq9fast._core.protocol.duration cimport read_duration
from mq9fast._core.protocol.headers cimport NATS_TTL, MessageHeaders
from mq9fast._core.protocol.literals cimport NEVER
from mq9fast._core.storage.record cimport NewMessage, put_number
from mq9fast._core.storage.row_format cimport ENDLESS_LIFE, HAS_LIFE, TAG_LIFE

cdef enum:
    MIN_LIFE_MS = 1000

cdef extern from *:
    const uint64_t MAX_LIFE_SECONDS "3162240000ull"


cdef bint read_life(View text, uint64_t* life_ms) noexcept:
    """Read the value of Nats-TTL, in milliseconds. False if it is not valid."""
    cdef uint64_t seconds = 0
    if same(text, NEVER):
        life_ms[0] = ENDLESS_LIFE
        return True
    if read_decimal(text, MAX_LIFE_SECONDS, &seconds):
        life_ms[0] = seconds * 1000
    elif c'0' <= text.data[text.size - 1] <= c'9' or not read_duration(text, life_ms):
        return False
    return life_ms[0] >= MIN_LIFE_MS


cdef bint read_times(const MessageHeaders* headers, NewMessage* message, char* attributes) noexcept:
    """Set the life of a message, and write it to `attributes`. False if a value is not valid. DANGER: the
    message then points to the attributes."""
    cdef char* at = attributes
    if headers.options & (1u << <unsigned int>NATS_TTL):
        if not read_life(headers.values[<int>NATS_TTL], &message.life_ms):
            return False
        message.flags |= HAS_LIFE
        at = put_number(at, TAG_LIFE, message.life_ms)
    message.attributes = view(attributes, at - attributes)
    return True
