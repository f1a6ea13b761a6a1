"""Why a connection ended, in nats-server's words, which /connz shows as `reason`."""

CLIENT_CLOSED = "Client Closed"
TLS_FAILURE = "TLS Handshake Failure"
KICKED = "Kicked"
REVOKED = "Credentials Revoked"
SLOW_WRITE = "Slow Consumer (Write Deadline)"
SERVER_SHUTDOWN = "Server Shutdown"
PROTOCOL_VIOLATION = "Protocol Violation"
# By the text of the -ERR before the end.
BY_ERROR = {
    b"Authentication Timeout": "Authentication Timeout",
    b"Authorization Violation": "Authentication Failure",
    b"Maximum Payload Violation": "Maximum Message Payload Exceeded",
    b"Server Shutdown": SERVER_SHUTDOWN,
    b"Slow Consumer": "Slow Consumer (Pending Bytes)",
    b"Stale Connection": "Stale Connection",
    b"invalid client protocol": "Bad Client Protocol Version",
    b"maximum connections exceeded": "Maximum Connections Exceeded",
    b"maximum control line exceeded": "Maximum Control Line Exceeded",
    b"no responders requires headers support": "No Responders Requires Headers",
}


def reason_of_error(error: bytes | None) -> str:
    """The reason for an end that the broker began. `error`: the text of its -ERR, None if there was none."""
    return BY_ERROR.get(error or b"", PROTOCOL_VIOLATION)


def reason_of_loss(error: Exception | None) -> str:
    """The reason for an end that the broker did not begin; `error` is that of the socket, None at its end."""
    if error is None:
        return CLIENT_CLOSED
    return "Write Error" if isinstance(error, BrokenPipeError) else "Read Error"
