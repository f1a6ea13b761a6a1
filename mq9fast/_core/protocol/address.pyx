"""The grammar of mail_addresses and destinations; the contract, and who uses it, is in address.pxd."""

from mq9fast._core.base.view cimport View, last_dot, same, slice_from, to_bytes, view, view_of
from mq9fast._core.protocol cimport literals
from mq9fast._core.protocol.literals cimport ALL_RANKS, NORMAL, RANKS, Rank

# For Python, what literals.pxd has for the core.
OUR_PREFIX = to_bytes(literals.OUR_PREFIX).decode()
MAILBOX_PREFIX = to_bytes(literals.MAILBOX_PREFIX).decode()
MSG_PREFIX = to_bytes(literals.MSG_PREFIX).decode()
EVENT_PREFIX = to_bytes(literals.EVENT_PREFIX).decode()
DELETE_PREFIX = to_bytes(literals.DELETE_PREFIX).decode()
PRIORITIES = tuple([to_bytes(literals.PRIORITIES[rank]).decode() for rank in range(RANKS)])


cdef inline int rank_of(View token) noexcept:
    """The rank whose priority name the token is, or -1."""
    cdef int rank
    for rank in range(RANKS):
        if same(token, literals.PRIORITIES[rank]):
            return rank
    return -1


cdef bint valid_address(View address) noexcept:
    """Whether it has 1 to 128 characters, in tokens of a-z 0-9 - _ between single dots, and the last token is
    not the name of a priority."""
    cdef Py_ssize_t i
    cdef char c
    cdef char previous = c'.'
    if not 0 < address.size <= MAX_ADDRESS_BYTES:
        return False
    for i in range(address.size):
        c = address.data[i]
        if c == c'.':
            if previous == c'.':
                return False
        elif not (c'a' <= c <= c'z' or c'0' <= c <= c'9' or c == c'-' or c == c'_'):
            return False
        previous = c
    return previous != c'.' and rank_of(slice_from(address, last_dot(address) + 1)) < 0


cdef bint split_priority(View rest, View* address, Rank* rank) noexcept:
    """Split `{mail_address}[.normal|.urgent|.critical]`; false if the address is not valid."""
    cdef Py_ssize_t dot = last_dot(rest)
    cdef int named = rank_of(slice_from(rest, dot + 1))
    address[0] = rest
    rank[0] = NORMAL
    if named >= 0:
        rank[0] = <Rank>named
        address[0] = view(rest.data, max(dot, 0))
    return valid_address(address[0])


cdef bint split_filter(View rest, View* address, int* ranks) noexcept:
    """Split `{mail_address}[.priority|.*]` into the address and a set of ranks; false if it is not valid."""
    cdef Rank rank = NORMAL
    cdef Py_ssize_t dot = last_dot(rest)
    ranks[0] = ALL_RANKS
    if rest.size - dot == 2 and rest.data[rest.size - 1] == c'*':
        address[0] = view(rest.data, max(dot, 0))
        return valid_address(address[0])
    if not split_priority(rest, address, &rank):
        return False
    if address[0].size != rest.size:
        ranks[0] = 1 << rank
    return True


def is_address(bytes address not None) -> bool:
    """Whether `address` is a valid mail_address."""
    return valid_address(view_of(address))


def split_destination(bytes rest not None):
    """(address, rank) of the subject's rest after `MSG.`, or None if the address is not valid."""
    cdef View address
    cdef Rank rank
    if not split_priority(view_of(rest), &address, &rank):
        return None
    return address.data[:address.size], <int>rank
