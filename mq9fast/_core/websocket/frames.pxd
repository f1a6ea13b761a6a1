"""The parts of a WebSocket frame (RFC 6455, 5.2), for the reader and the writer of frames.

    byte 0          FIN, three reserved bits, opcode
    byte 1          MASK, and the size up to 125; 126 and 127 say that the size follows
    2 or 8 bytes    the size, big-endian
    4 bytes         the key, in frames of clients
"""

cdef enum:
    FIN = 0x80
    RESERVED = 0x70
    COMPRESSED = 0x40       # the first reserved bit, in the first frame of a message (RFC 7692)
    OPCODE = 0x0F
    MASK = 0x80
    SIZE = 0x7F
    SIZE_IN_2_BYTES = 126
    SIZE_IN_8_BYTES = 127

    KEY_BYTES = 4
    MAX_HEADER_BYTES = 14
    MAX_CONTROL_BYTES = 125     # of the payload of a control frame

cdef enum Opcode:
    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8             # from here on: control frames
    PING = 0x9
    PONG = 0xA

cdef enum CloseCode:
    NO_CODE = 0             # the connection goes on
    PROTOCOL_ERROR = 1002
    NO_STATUS = 1005        # the peer's close frame had none
    INVALID_DATA = 1007
    TOO_BIG = 1009
