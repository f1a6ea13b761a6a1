"""The grammar of a mail_address and of what follows `MSG.` and `DELETE.` (docs/protocol.md, Addresses)."""

from mq9fast._core.base.view cimport View


cdef enum Rank:
    # The order of delivery; also the rank byte of a stored message's key.
    CRITICAL
    URGENT
    NORMAL


cdef enum:
    RANKS = 3
    ALL_RANKS = 7         # a set of ranks, as bits
    MAX_ADDRESS_BYTES = 128


cdef bint valid_address(View address) noexcept
cdef bint split_priority(View rest, View* address, Rank* rank) noexcept
cdef bint split_filter(View rest, View* address, int* ranks) noexcept
