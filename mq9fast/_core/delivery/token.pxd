"""The token of one delivery to a queue group: the end of its reply subject, if the mailbox has ack_wait.

It is 16 hexadecimal digits for the group, whose number no other group has or had, and more for the delivery.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View


cdef enum:
    MAX_TOKEN_BYTES = 33      # with the hyphen before it


cdef char* put_token(char* at, uint64_t group, uint64_t delivery) noexcept
cdef bint read_token(View text, uint64_t* group, uint64_t* delivery) noexcept
