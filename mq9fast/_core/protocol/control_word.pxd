"""The words that the body of an answer may be instead of an answer: the acknowledgements of JetStream.

`MailboxWriter` asks for the word of each DELETE with a body.
"""

from mq9fast._core.base.view cimport View, starts_with
from mq9fast._core.protocol.literals cimport ACKNOWLEDGE, NAK, NEXT, TERMINATE, WORK_IN_PROGRESS


cdef enum ControlWord:
    NO_WORD                # an answer
    ACKNOWLEDGE_WORD       # nothing, +ACK or +NXT
    NAK_WORD
    WORK_IN_PROGRESS_WORD
    TERMINATE_WORD


cdef inline bint is_word(View body, View word) noexcept:
    """Whether the body is the word, or begins with it and a blank or line break."""
    return starts_with(body, word) and (
        body.size == word.size or body.data[word.size] in (c' ', c'\t', c'\r', c'\n')
    )


cdef inline ControlWord control_word(View body) noexcept:
    if body.size == 0:
        return ACKNOWLEDGE_WORD
    if body.data[0] != c'+' and body.data[0] != c'-':
        return NO_WORD
    if is_word(body, NAK):
        return NAK_WORD
    if is_word(body, WORK_IN_PROGRESS):
        return WORK_IN_PROGRESS_WORD
    if is_word(body, TERMINATE):
        return TERMINATE_WORD
    if is_word(body, ACKNOWLEDGE) or is_word(body, NEXT):
        return ACKNOWLEDGE_WORD
    return NO_WORD
