"""Durations as clients write them in headers: a number of seconds, or a Go duration such as `1h30m`.

`MailboxWriter` reads the headers of a MSG with it. Fields of CREATE are JSON numbers: `mailbox/options.py`.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View


cdef bint read_duration(View text, uint64_t* milliseconds) noexcept
