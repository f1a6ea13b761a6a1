"""Bytes in, operations out (NATS client protocol, as nats-server reads it).

The parser holds no state between calls: it is given everything unread and either finds a whole frame, says
how many bytes that frame needs, or says what is wrong. Policy (authorisation, logging, closing) belongs to
its callers.
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
    VERB_IGNORED        # INFO and +OK: legal from a client, and without effect
    VERB_ERROR          # -ERR


cdef enum Outcome:
    FOUND
    NEED_MORE
    BAD_VERB            # nats-server: Unknown Protocol Operation
    BAD_ARGUMENTS       # a known verb with arguments that cannot be read
    LINE_TOO_LONG       # Maximum Control Line Exceeded
    PAYLOAD_TOO_LARGE   # Maximum Payload Violation


cdef struct Bounds:
    Py_ssize_t control_line_bytes
    Py_ssize_t payload_bytes


cdef struct Operation:
    # DANGER: every View points into the bytes that were parsed; see views.pxd.
    int verb
    Py_ssize_t frame    # FOUND: bytes of this frame; NEED_MORE: bytes it will have, 0 while unknown
    View subject        # PUB, HPUB, SUB
    View reply          # PUB, HPUB; empty if none
    View queue          # SUB; empty if none
    View sid            # SUB, UNSUB
    View header         # HPUB, with its closing blank line
    View payload        # PUB, HPUB; CONNECT: the JSON
    uint64_t maximum    # UNSUB; 0 if none


cdef Outcome parse(const char* data, Py_ssize_t size, const Bounds* bounds, Operation* op) noexcept
