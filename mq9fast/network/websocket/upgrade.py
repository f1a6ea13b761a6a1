"""The HTTP upgrade request of a WebSocket (RFC 6455, 4.2), accepted and refused as by nats-server.

`port.py` feeds an `Upgrade` with what a peer sends, and gets the bytes of the response. It does no input or
output. A reload checks the setting ws_origins with `Origins`.
"""

import base64
import binascii
import hashlib
import ipaddress
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlsplit

import h11

from mq9fast.errors import StartError
from mq9fast.network.listen import address_text

KEY_BYTES = 16
# With the client's key, it is hashed for the Sec-WebSocket-Accept header.
ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# On these paths nats-server serves other protocols than the client protocol.
OTHER_PATHS = (b"/mqtt", b"/leafnode")


class Response(NamedTuple):
    """The HTTP response. `refusal` is the status and the reason if the upgrade is refused, else "".

    `is_page`: whether it is a page of the console, after which the connection ends.
    """

    data: bytes
    refusal: str
    is_page: bool = False


class UpgradeError(Exception):
    """The upgrade is refused: an HTTP status, and a phrase that says why."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        super().__init__(reason)


class Origins:
    """Which web pages may connect: those with an origin in `listed` (comma-separated), or all if it is empty.

    As on nats-server, scheme, host and port must be equal, and a client without an Origin header may connect.
    Raises StartError if `listed` has an entry that is not an origin.
    """

    def __init__(self, listed: str | None) -> None:
        self._allowed = set()
        for text in (listed or "").split(",") if listed else ():
            origin = _origin(text.strip())
            if origin is None:
                raise StartError(
                    f"ws_origins: {text.strip()!r} is not an origin (example: https://example.org)"
                )
            self._allowed.add(origin)

    @property
    def all(self) -> bool:
        """Whether every web page may connect."""
        return not self._allowed

    def allow(self, origin: str | None) -> bool:
        """Whether a page of this origin may connect."""
        return self.all or origin is None or _origin(origin) in self._allowed


def _origin(text: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of an origin; None if `text` is not one."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not parts.scheme or not host or parts.path not in {"", "/"} or parts.query or parts.fragment:
        return None
    if port is None:
        port = 443 if parts.scheme == "https" else 80
    return parts.scheme, host, port


class Upgrade:
    """The request of one peer. h11 parses it, and keeps at most 16 KiB of it while it is incomplete.

    `forwarded_for` is the client's address from X-Forwarded-For, "" if the request has none.
    `serve_console`: whether a plain GET gets the console instead of a refusal.
    """

    def __init__(self, origins: Origins, *, serve_console: bool) -> None:
        self._origins = origins
        self._serve_console = serve_console
        self._http = h11.Connection(h11.SERVER)
        self.forwarded_for = ""

    def receive(self, data: bytes) -> Response | None:
        """Feed it with received data. Returns the response once the request is complete or wrong."""
        method = b""
        try:
            self._http.receive_data(data)
            request = self._http.next_event()
            if request is h11.NEED_DATA:
                return None
            if not isinstance(request, h11.Request):
                raise UpgradeError(400, "the request is missing")
            method = request.method
            self.forwarded_for = _forwarded_for(request)
            if self._serve_console and _is_plain(request):
                return self._page(request)
            key = self._check(request)
            # The peer may send neither a body, nor frames before it has the response.
            if not isinstance(self._http.next_event(), h11.EndOfMessage) or self._http.trailing_data[0]:
                raise UpgradeError(400, "the peer sent data before it received the response")
        except h11.RemoteProtocolError as error:
            return self._refuse(method, UpgradeError(error.error_status_hint, str(error)))
        except UpgradeError as refused:
            return self._refuse(method, refused)
        return Response(self._accept(key), "")

    def _check(self, request: h11.Request) -> bytes:
        """The request's Sec-WebSocket-Key. Raises UpgradeError, with nats-server's status."""
        if request.target.startswith(OTHER_PATHS):
            raise UpgradeError(404, "only NATS clients are served here")
        if request.method != b"GET":
            raise UpgradeError(405, "the method must be GET")
        headers = _Headers(request)
        if not headers.first(b"host"):
            raise UpgradeError(400, "the Host header is missing")
        if not headers.list_has(b"upgrade", b"websocket"):
            raise UpgradeError(400, "the Upgrade header must be websocket")
        if not headers.list_has(b"connection", b"upgrade"):
            raise UpgradeError(400, "the Connection header must be Upgrade")
        key = headers.first(b"sec-websocket-key") or b""
        if not _is_key(key):
            raise UpgradeError(400, "the Sec-WebSocket-Key header must be 16 bytes in base64")
        if not headers.list_has(b"sec-websocket-version", b"13"):
            raise UpgradeError(400, "the Sec-WebSocket-Version header must be 13")
        origin_bytes = headers.first(b"origin")
        origin = None if origin_bytes is None else origin_bytes.decode("latin-1")
        if not self._origins.allow(origin):
            raise UpgradeError(403, f"the origin {origin!r} is not in ws_origins")
        return key

    def _accept(self, key: bytes) -> bytes:
        headers = [
            (b"Upgrade", b"websocket"),
            (b"Connection", b"Upgrade"),
            (b"Sec-WebSocket-Accept", _accept_token(key)),
        ]
        switch = h11.InformationalResponse(
            status_code=HTTPStatus.SWITCHING_PROTOCOLS, headers=headers, reason=b"Switching Protocols"
        )
        return self._http.send(switch) or b""

    def _page(self, request: h11.Request) -> Response:
        # Imported only if a browser asks for it.
        from mq9fast.network.websocket.console import page

        headers = _Headers(request)
        status, fields, body = page(
            request.target.decode("latin-1"),
            accepts_gzip=headers.list_has(b"accept-encoding", b"gzip"),
            known_etags=(headers.first(b"if-none-match") or b"").decode("latin-1"),
        )
        length = () if status == HTTPStatus.NOT_MODIFIED else (("content-length", str(len(body))),)
        shown = b"" if request.method == b"HEAD" else body
        return Response(self._respond(status, (*fields, *length, ("connection", "close")), shown), "", True)

    def _refuse(self, method: bytes, refused: UpgradeError) -> Response:
        body = f"This port serves NATS over WebSocket: {refused}.\n".encode()
        headers = (
            ("content-type", "text/plain; charset=utf-8"),
            ("content-length", str(len(body))),
            ("connection", "close"),
            ("sec-websocket-version", "13"),
        )
        shown = b"" if method == b"HEAD" else body
        return Response(self._respond(refused.status, headers, shown), f"{refused.status}, {refused}")

    def _respond(self, status: int, headers: tuple[tuple[str, str], ...], body: bytes) -> bytes:
        reason = HTTPStatus(status).phrase.encode()
        parts = [
            self._http.send(h11.Response(status_code=status, headers=list(headers), reason=reason)),
            self._http.send(h11.Data(body)) if body else None,
            self._http.send(h11.EndOfMessage()),
        ]
        return b"".join(part for part in parts if part)


class _Headers:
    """The headers of a request. Names are in lower case."""

    def __init__(self, request: h11.Request) -> None:
        self._pairs = list(request.headers)

    def first(self, name: bytes) -> bytes | None:
        return next((value for key, value in self._pairs if key == name), None)

    def list_has(self, name: bytes, wanted: bytes) -> bool:
        """Whether a comma-separated header has the entry `wanted`, in any case."""
        values = b",".join(value for key, value in self._pairs if key == name)
        return any(value.strip(b" \t").lower() == wanted for value in values.split(b","))


def _is_plain(request: h11.Request) -> bool:
    """Whether the request asks for a page, and not for a WebSocket."""
    if request.method not in (b"GET", b"HEAD") or request.target.startswith(OTHER_PATHS):
        return False
    return not any(name in (b"upgrade", b"sec-websocket-key") for name, _ in request.headers)


def _forwarded_for(request: h11.Request) -> str:
    """The last address of X-Forwarded-For. The proxy added it; the client may have sent those before it."""
    values = [value for key, value in request.headers if key == b"x-forwarded-for"]
    last = b",".join(values).rpartition(b",")[2].strip(b" \t").decode("latin-1")
    try:
        address = ipaddress.ip_address(last)
    except ValueError:
        return ""
    return "" if "%" in last else address_text(address)


def _accept_token(key: bytes) -> bytes:
    return base64.b64encode(hashlib.sha1(key + ACCEPT_GUID, usedforsecurity=False).digest())


def _is_key(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == KEY_BYTES
    except binascii.Error:
        return False
