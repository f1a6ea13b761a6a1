"""The HTTP upgrade request of a WebSocket (RFC 6455, 4.2), accepted and refused as by nats-server.

`port.py` feeds an `Upgrade` with what a peer sends, and gets the bytes of the response. It does no input or
output.
"""

import base64
import binascii
import hashlib
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import NamedTuple

import h11

from mq9fast.auth.authenticator import Credentials
from mq9fast.network.listen import address_text
from mq9fast.network.websocket.cookies import CookieNames, read_cookies
from mq9fast.network.websocket.origins import Origins

KEY_BYTES = 16
# With the client's key, it is hashed for the Sec-WebSocket-Accept header.
ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# Compression of each message by itself (RFC 7692). The client may choose a smaller window.
DEFLATE = b"permessage-deflate"
NO_CONTEXT = (b"server_no_context_takeover", b"client_no_context_takeover")
WINDOW_OF_CLIENT = b"client_max_window_bits"
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


@dataclass(frozen=True, kw_only=True)
class UpgradeRules:
    """What the settings say about upgrades. `secure`: whether the port has TLS. `serve_console`: whether a
    plain GET gets the console instead of a refusal. `cookies`: where a browser may keep credentials.
    `monitor_url(host)`: the URL of the monitoring port, for browsers that call the broker `host`; may be "".
    `compression`: whether messages are compressed if the client offers it.
    """

    origins: Origins
    secure: bool
    serve_console: bool
    cookies: CookieNames
    monitor_url: Callable[[str], str]
    compression: bool


class Upgrade:
    """The request of one peer. h11 parses it, and keeps at most 16 KiB of it while it is incomplete.

    `forwarded_for` is the client's address from X-Forwarded-For, "" if the request has none. `credentials`
    are those of its cookies. `compressed`: messages may be compressed from now on.
    """

    def __init__(self, rules: UpgradeRules) -> None:
        self._rules = rules
        self._http = h11.Connection(h11.SERVER)
        self.forwarded_for = ""
        self.credentials: Credentials | None = None
        self.compressed = False

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
            if self._rules.serve_console and _is_plain(request):
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
        host = headers.first(b"host")
        if not host:
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
        found = headers.first(b"origin") or headers.first(b"sec-websocket-origin")
        origin = None if not found else found.decode("latin-1")
        if not self._rules.origins.allow(origin, host.decode("latin-1"), secure=self._rules.secure):
            raise UpgradeError(403, f"the origin {origin!r} is not allowed")
        self.compressed = self._rules.compression and _offers_deflate(headers)
        self.credentials = read_cookies(headers.all(b"cookie"), self._rules.cookies)
        return key

    def _accept(self, key: bytes) -> bytes:
        headers = [
            (b"Upgrade", b"websocket"),
            (b"Connection", b"Upgrade"),
            (b"Sec-WebSocket-Accept", _accept_token(key)),
        ]
        if self.compressed:
            headers.append((b"Sec-WebSocket-Extensions", b"; ".join((DEFLATE, *NO_CONTEXT))))
        switch = h11.InformationalResponse(
            status_code=HTTPStatus.SWITCHING_PROTOCOLS, headers=headers, reason=b"Switching Protocols"
        )
        return self._http.send(switch) or b""

    def _page(self, request: h11.Request) -> Response:
        # Imported only if a browser asks for it.
        from mq9fast.network.websocket.console import page

        headers = _Headers(request)
        host = re.sub(r":\d*$", "", (headers.first(b"host") or b"").decode("latin-1"))
        status, fields, body = page(
            request.target.decode("latin-1"),
            accepts_gzip=headers.list_has(b"accept-encoding", b"gzip"),
            known_etags=(headers.first(b"if-none-match") or b"").decode("latin-1"),
            monitor=self._rules.monitor_url(host),
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

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self._pairs if key == name]

    def list_has(self, name: bytes, wanted: bytes) -> bool:
        """Whether a comma-separated header has the entry `wanted`, in any case."""
        values = b",".join(self.all(name))
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


def _offers_deflate(headers: _Headers) -> bool:
    """Whether the client offers compression without a parameter that the broker would have to follow."""
    for offer in b",".join(headers.all(b"sec-websocket-extensions")).split(b","):
        name, *parameters = (part.strip(b" \t").lower() for part in offer.split(b";"))
        known = (each in NO_CONTEXT or each.partition(b"=")[0] == WINDOW_OF_CLIENT for each in parameters)
        if name == DEFLATE and all(known):
            return True
    return False


def _accept_token(key: bytes) -> bytes:
    return base64.b64encode(hashlib.sha1(key + ACCEPT_GUID, usedforsecurity=False).digest())


def _is_key(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == KEY_BYTES
    except binascii.Error:
        return False
