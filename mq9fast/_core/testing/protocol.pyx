"""The parsers and the write side of a connection, called from Python."""

from libc.stdint cimport int64_t, uint64_t

from mq9fast._core.base.view cimport to_bytes, view, view_of
from mq9fast._core.protocol.duration cimport read_duration
from mq9fast._core.protocol.headers cimport HEADER_KINDS, MessageHeaders, read_headers
from mq9fast._core.protocol.parser cimport FOUND, NEED_MORE, Bounds, Operation, Outcome, parse
from mq9fast._core.protocol.rfc3339 cimport read_rfc3339
from mq9fast._core.protocol.write_buffer cimport WriteBuffer


def parse_all(bytes data not None, Py_ssize_t control_line_bytes=4096, Py_ssize_t payload_bytes=1 << 20):
    """Parse every frame of `data` into objects.

    Returns (operations, outcome, used): a list of tuples (verb, subject, reply, queue, sid, header, payload,
    maximum), the `Outcome` that ended it (NEED_MORE if nothing is wrong) and the bytes that were used.
    """
    cdef Bounds bounds
    cdef Operation op
    cdef Py_ssize_t used = 0
    cdef Outcome outcome = NEED_MORE
    cdef const char* at = data
    cdef list operations = []
    bounds.control_line_bytes = control_line_bytes
    bounds.payload_bytes = payload_bytes
    while used < len(data):
        outcome = parse(at + used, len(data) - used, &bounds, &op)
        if outcome != FOUND:
            return operations, <int>outcome, used
        operations.append((
            op.verb, to_bytes(op.subject), to_bytes(op.reply), to_bytes(op.queue), to_bytes(op.sid),
            to_bytes(op.header), to_bytes(op.payload), op.maximum,
        ))
        used += op.frame
    return operations, <int>NEED_MORE, used


def read_header_block(bytes block not None):
    """Check the headers of a MSG.

    Returns (fault, block, options): the `HeaderFault`, and if it is 0 the block as it is stored, and the
    values of its options by `HeaderKind`.
    """
    cdef MessageHeaders headers
    cdef dict options = {}
    cdef unsigned int kind
    cdef bytearray copy = bytearray(block)
    cdef char* data = copy      # may be changed in place
    cdef int fault = read_headers(view(data, len(copy)), &headers)
    if fault:
        return fault, b"", {}
    for kind in range(HEADER_KINDS):
        if headers.options >> kind & 1:
            options[kind] = to_bytes(headers.values[kind])
    return fault, to_bytes(headers.block), options


def duration_ms(bytes text not None):
    """Read a duration; returns milliseconds, or None if the text is none."""
    cdef uint64_t milliseconds = 0
    return milliseconds if read_duration(view_of(text), &milliseconds) else None


def rfc3339_ms(bytes text not None):
    """Read an RFC 3339 time; returns Unix milliseconds, or None if the text is none."""
    cdef int64_t unix_ms = 0
    return unix_ms if read_rfc3339(view_of(text), &unix_ms) else None


cdef class ExposedWriteBuffer(WriteBuffer):
    """A WriteBuffer with methods for Python."""

    def __len__(self) -> int:
        return self.size

    def write(self, bytes data not None) -> None:
        """Append a copy of `data`."""
        self.append(view_of(data))

    def lend(self, bytes data not None) -> None:
        """Append `data` without a copy. It must live until `write_to` or `taken`. Something was written
        before, and at most MAX_BORROWED pieces are lent."""
        self.borrow(view_of(data))

    def write_to(self, int descriptor) -> None:
        """Write everything to a socket, and keep what it does not take."""
        self.write_borrowed(descriptor)

    def taken(self) -> bytes:
        """Return the bytes written since the last call, and start a new buffer."""
        return self.take()
