"""The grammar of NATS subjects; see subject.pxd."""

from mq9fast._core.base.view cimport View, same, slice_from, view_of

cdef enum:
    MAX_TOKENS = 4096        # a control line of the default length holds half as many


cdef bint valid_subject(View subject) noexcept:
    """No empty token, '>' only as the last token, and no more tokens than the trie can recurse over."""
    cdef Py_ssize_t i
    cdef Py_ssize_t start = 0
    cdef int tokens = 0
    cdef char c
    for i in range(subject.size + 1):
        c = subject.data[i] if i < subject.size else c'.'
        if c == c'.':
            if i == start:
                return False
            if i < subject.size and i == start + 1 and subject.data[start] == c'>':
                return False
            start = i + 1
            tokens += 1
    return tokens <= MAX_TOKENS


cdef bint has_empty_token(View subject) noexcept:
    cdef Py_ssize_t i
    for i in range(1, subject.size):
        if subject.data[i] == c'.' and subject.data[i - 1] == c'.':
            return True
    return subject.size == 0 or subject.data[0] == c'.' or subject.data[subject.size - 1] == c'.'


cdef bint has_wildcard(View subject) noexcept:
    """Whether any whole token is '*' or '>'."""
    cdef View token
    while True:
        token = first_token(subject)
        if is_token(token, c'*') or is_token(token, c'>'):
            return True
        if token.size == subject.size:
            return False
        subject = slice_from(subject, token.size + 1)


cdef bint covers(View pattern, View subject) noexcept:
    """Whether every subject that `subject` stands for, which may have wildcards too, matches `pattern`."""
    cdef View wanted, token
    while True:
        wanted = first_token(pattern)
        token = first_token(subject)
        if is_token(wanted, c'>'):
            return token.size > 0
        if is_token(token, c'>') or token.size == 0:
            return False
        if not is_token(wanted, c'*') and not same(wanted, token):
            return False
        if wanted.size == pattern.size or token.size == subject.size:
            return wanted.size == pattern.size and token.size == subject.size
        pattern = slice_from(pattern, wanted.size + 1)
        subject = slice_from(subject, token.size + 1)


cdef bint overlap(View a, View b) noexcept:
    """Whether any subject matches both."""
    cdef View one, other
    while True:
        one = first_token(a)
        other = first_token(b)
        if is_token(one, c'>') or is_token(other, c'>'):
            return True
        if not is_token(one, c'*') and not is_token(other, c'*') and not same(one, other):
            return False
        if one.size == a.size or other.size == b.size:
            return one.size == a.size and other.size == b.size
        a = slice_from(a, one.size + 1)
        b = slice_from(b, other.size + 1)


def is_valid_subject(bytes subject not None) -> bool:
    """Whether `subject` can be subscribed to."""
    return valid_subject(view_of(subject))
