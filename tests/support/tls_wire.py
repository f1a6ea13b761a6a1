"""A client that sends and reads the bytes of the NATS protocol itself, with TLS after INFO."""

import json
import ssl
from typing import Any

from tests.support.wire_client import Wire


class TlsWire(Wire):
    """`Wire` with TLS after INFO."""

    def __init__(self, port: int, tls: ssl.SSLContext, connect: dict[str, Any] | None = {}) -> None:  # noqa: B006
        self._tls = tls
        super().__init__(port, connect)

    def _begin(self, connect: dict[str, Any] | None) -> None:
        super()._begin(None)
        assert not self.unread
        self.socket = self._tls.wrap_socket(self.socket, server_hostname="localhost")
        if connect is not None:
            options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, **connect}
            self.send(f"CONNECT {json.dumps(options)}\r\n")
