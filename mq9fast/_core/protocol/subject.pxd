"""The grammar of NATS subjects: tokens between dots, the wildcards `*` and `>`, and reserved prefixes.

Pure functions on borrowed bytes, called by sessions, the router, the trie of subscriptions and permissions.
"""

from libc.string cimport memchr

from mq9fast._core.base.view cimport View, starts_with, view
from mq9fast._core.protocol.literals cimport (
    OLD_ROUTED_REPLY_PREFIX, OUR_PREFIX, RAFT_PREFIX, ROUTED_REPLY_PREFIX
)


cdef inline View first_token(View subject) noexcept:
    """The bytes before the first '.', or all of them."""
    cdef const char* dot = <const char*>memchr(subject.data, c'.', <size_t>subject.size)
    return view(subject.data, subject.size if dot is NULL else dot - subject.data)


cdef inline bint is_token(View token, char c) noexcept:
    return token.size == 1 and token.data[0] == c


cdef inline bint begins_with_wildcard(View subject) noexcept:
    """Whether the first token is exactly '*' or '>'."""
    if subject.size == 0 or subject.data[0] != c'*' and subject.data[0] != c'>':
        return False
    return subject.size == 1 or subject.data[1] == c'.'


cdef inline bint is_mq9_subject(View subject) noexcept:
    """Whether it is a subject of mq9. These are never in the trie, and no wildcard matches them."""
    return subject.size > 0 and subject.data[0] == c'$' and starts_with(subject, OUR_PREFIX)


cdef inline bint is_routed_reply(View subject) noexcept:
    """Whether nats-servers use the subject to route replies between them. No client may publish to it."""
    if subject.size < ROUTED_REPLY_PREFIX.size or subject.data[0] != c'_' and subject.data[0] != c'$':
        return False
    if starts_with(subject, ROUTED_REPLY_PREFIX):
        return subject.size > ROUTED_REPLY_PREFIX.size
    return starts_with(subject, OLD_ROUTED_REPLY_PREFIX)


cdef inline bint is_reserved(View subject) noexcept:
    """Whether nats-server reserves the subject for its own use."""
    if subject.size == 0 or subject.data[0] != c'_' and subject.data[0] != c'$':
        return False
    return is_routed_reply(subject) or starts_with(subject, RAFT_PREFIX)


cdef bint valid_subject(View subject) noexcept
cdef Py_ssize_t count_tokens(View subject) noexcept
cdef bint has_empty_token(View subject) noexcept
cdef bint has_wildcard(View subject) noexcept
cdef bint covers(View pattern, View subject) noexcept
cdef bint overlap(View a, View b) noexcept
