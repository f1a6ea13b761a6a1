"""The parser of the NATS client protocol. It accepts and rejects the same bytes as nats-server does.

`Session` calls `parse` in a loop on the bytes that it has read. The parser keeps no state between calls: it
finds one whole frame, or reports how many bytes that frame needs, or reports what is wrong. It allocates
nothing and decides nothing about the client: permissions, answers and closing are up to `Session`.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View


cdef enum Verb:
    VERB_NONE
    VERB_PUB
    VERB_HPUB
    VERB_SUB
    VERB_UNSUB
    VERB_PING
    VERB_PONG
    VERB_CONNECT
    VERB_IGNORED        # INFO and +OK: a client may send them, and they have no effect
    VERB_ERROR          # -ERR


cdef enum Outcome:
    FOUND
    NEED_MORE
    BAD_VERB            # "Unknown Protocol Operation" in nats-server
    BAD_ARGUMENTS       # a known verb with invalid arguments
    LINE_TOO_LONG       # "Maximum Control Line Exceeded"
    PAYLOAD_TOO_LARGE   # "Maximum Payload Violation"


cdef struct Bounds:
    Py_ssize_t control_line_bytes
    Py_ssize_t payload_bytes


cdef struct Operation:
    # DANGER: every View points into the bytes that were parsed; see base/view.pxd.
    int verb
    Py_ssize_t frame    # length of the frame in bytes; for NEED_MORE 0 while it is unknown
    View subject        # PUB, HPUB, SUB
    View reply          # PUB, HPUB; empty if none
    View queue          # SUB; empty if none
    View sid            # SUB, UNSUB
    View header         # HPUB, including the empty line at its end
    View payload        # PUB, HPUB; the JSON of CONNECT
    uint64_t maximum    # UNSUB; 0 if it has none


cdef Outcome parse(const char* data, Py_ssize_t size, const Bounds* bounds, Operation* op) noexcept
