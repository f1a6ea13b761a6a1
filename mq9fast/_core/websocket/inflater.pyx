"""Inflates compressed messages; the contract is in inflater.pxd."""

import zlib

from mq9fast._core.base.check cimport check

cdef enum:
    PIECE_BYTES = 65536

cdef int WINDOW_BITS = -15       # the largest window, without zlib's own header
cdef bytes END = b"\x00\x00\xff\xff"     # the sender removes it from each message


cdef class Inflater:
    """Inflates messages of one client. A message may become `limit` bytes."""

    def __cinit__(self, Py_ssize_t limit):
        self.limit = limit
        self.waiting = b""

    cdef int add(self, bytes compressed) except -1:
        """Add the next compressed bytes of a message. Nothing may be left of those added before."""
        check(not self.has_more, b"pieces are taken before more is added")
        if self.stream is None:
            self.stream = zlib.decompressobj(WINDOW_BITS)
            self.inflated = 0
        self.waiting = compressed
        self.has_more = len(compressed) > 0
        return 0

    cdef int add_end(self) except -1:
        """The message ends here."""
        if self.stream is None:
            self.add(b"")
        self.waiting += END
        self.has_more = self.ends = True
        return 0

    cdef bytes next_piece(self):
        """The next inflated bytes, perhaps none. Raises zlib.error if they cannot be inflated."""
        cdef bytes piece = self.stream.decompress(self.waiting, PIECE_BYTES)
        # What follows the last block of a sender that ended the stream is of no use.
        self.waiting = b"" if self.stream.eof else self.stream.unconsumed_tail
        self.inflated += len(piece)
        self.has_more = len(piece) == PIECE_BYTES or len(self.waiting) > 0
        if self.ends and not self.has_more:
            self.stream = None
            self.ends = False
        return piece

    cdef void stop(self) noexcept:
        """Inflate nothing more."""
        self.has_more = False
        self.waiting = b""
