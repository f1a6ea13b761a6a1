"""Reads the delay of a `-NAK`; the contract is in nak.pxd."""

from libc.stdint cimport int64_t

from mq9fast._core.base.view cimport View, to_bytes

cdef enum:
    NS_IN_MS = 1_000_000
    MAX_TEXT_BYTES = 4096

# 100 years.
cdef object MAX_DELAY_MS = 100 * 366 * 86400 * 1000


cdef int64_t read_nak_delay(View text, int64_t missing) except? -2:
    """The delay in `{"delay": nanoseconds}`, in milliseconds, rounded up; `missing` if the text gives none.

    As nats-server, a broker gives back a message whatever else follows the word.
    """
    if text.size == 0 or text.size > MAX_TEXT_BYTES:
        return missing
    # Imported late, because a start must be quick.
    import json

    try:
        fields = json.loads(to_bytes(text))
    except (ValueError, RecursionError):
        return missing
    delay = fields.get("delay") if isinstance(fields, dict) else None
    if type(delay) is not int or delay < 0:
        return missing
    return min(-(-delay // NS_IN_MS), MAX_DELAY_MS)
