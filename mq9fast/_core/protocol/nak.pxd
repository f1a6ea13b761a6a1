"""What follows `-NAK` in an answer: how long the message waits, as JetStream clients send it."""

from libc.stdint cimport int64_t

from mq9fast._core.base.view cimport View


cdef int64_t read_nak_delay(View text, int64_t missing) except? -2
