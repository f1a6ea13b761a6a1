"""The HTTP request that a WebSocket begins with (RFC 6455, 4.2), taken and refused as nats-server does."""

import base64
import binascii
import ipaddress
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlsplit

import h11
from wsproto.utilities import generate_accept_token

from mq9fast.errors import StartError
from mq9fast.network.listen import shown

KEY_BYTES = 16
# Where nats-server has other protocols than a client's.
OTHER_PATHS = (b"/mqtt", b"/leafnode")


class Answer(NamedTuple):
    """What the peer is to be sent. `refusal` says why no frames follow it, and is "" where they do."""

    data: bytes
    refusal: str


class UpgradeError(Exception):
    """The request is not taken: an HTTP status, and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        self.status = status
        super().__init__(sentence)


class Origins:
    """The web pages that may connect: all of them, or those of `listed`, with commas between them.

    As on nats-server, scheme, host and port must be the same, and a client without Origin is not a web page.
    StartError if `listed` holds something else.
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
    """Scheme, host and port; None for anything but an origin."""
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
    """One peer's request. What came of it is fed as it comes, and kept up to h11's 16 KiB.

    `forwarded_for` is the address that the proxy in front says it had the request from; "" without one.
    """

    def __init__(self, origins: Origins) -> None:
        self._origins = origins
        self._http = h11.Connection(h11.SERVER)
        self.forwarded_for = ""

    def receive(self, data: bytes) -> Answer | None:
        """The answer, once enough of the request is there."""
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
            key = self._check(request)
            # Frames before they were agreed on, or a body.
            if not isinstance(self._http.next_event(), h11.EndOfMessage) or self._http.trailing_data[0]:
                raise UpgradeError(400, "data came before the upgrade was answered")
        except h11.RemoteProtocolError as error:
            return self._refuse(method, UpgradeError(error.error_status_hint, str(error)))
        except UpgradeError as refused:
            return self._refuse(method, refused)
        return Answer(self._accept(key), "")

    def _check(self, request: h11.Request) -> bytes:
        """The request's key. What is no upgrade is an UpgradeError with nats-server's status."""
        if request.target.startswith(OTHER_PATHS):
            raise UpgradeError(404, "only NATS clients are served here")
        if request.method != b"GET":
            raise UpgradeError(405, "the method must be GET")
        headers = _Headers(request)
        if not headers.first(b"host"):
            raise UpgradeError(400, "the header Host is missing")
        if not headers.list_has(b"upgrade", b"websocket"):
            raise UpgradeError(400, "the header Upgrade must be websocket")
        if not headers.list_has(b"connection", b"upgrade"):
            raise UpgradeError(400, "the header Connection must be Upgrade")
        key = headers.first(b"sec-websocket-key") or b""
        if not _is_key(key):
            raise UpgradeError(400, "the header Sec-WebSocket-Key must be 16 bytes in base64")
        if not headers.list_has(b"sec-websocket-version", b"13"):
            raise UpgradeError(400, "the header Sec-WebSocket-Version must be 13")
        origin = headers.first(b"origin")
        if not self._origins.allow(None if origin is None else origin.decode("latin-1")):
            raise UpgradeError(403, f"the origin {origin!r} is not allowed")
        return key

    def _accept(self, key: bytes) -> bytes:
        headers = [
            (b"Upgrade", b"websocket"),
            (b"Connection", b"Upgrade"),
            (b"Sec-WebSocket-Accept", generate_accept_token(key)),
        ]
        switch = h11.InformationalResponse(
            status_code=HTTPStatus.SWITCHING_PROTOCOLS, headers=headers, reason=b"Switching Protocols"
        )
        return self._http.send(switch) or b""

    def _refuse(self, method: bytes, refused: UpgradeError) -> Answer:
        body = f"This is a port for NATS over WebSocket: {refused}.\n".encode()
        headers = [
            ("content-type", "text/plain; charset=utf-8"),
            ("content-length", str(len(body))),
            ("connection", "close"),
            ("sec-websocket-version", "13"),
        ]
        reason = HTTPStatus(refused.status).phrase.encode()
        parts = [self._http.send(h11.Response(status_code=refused.status, headers=headers, reason=reason))]
        if method != b"HEAD":
            parts.append(self._http.send(h11.Data(body)))
        parts.append(self._http.send(h11.EndOfMessage()))
        return Answer(b"".join(part for part in parts if part), f"{refused.status}, {refused}")


class _Headers:
    """A request's headers, by lower-case name."""

    def __init__(self, request: h11.Request) -> None:
        self._pairs = list(request.headers)

    def first(self, name: bytes) -> bytes | None:
        return next((value for key, value in self._pairs if key == name), None)

    def list_has(self, name: bytes, wanted: bytes) -> bool:
        """Whether a header that is a list with commas has `wanted`, in whatever case."""
        values = b",".join(value for key, value in self._pairs if key == name)
        return any(value.strip(b" \t").lower() == wanted for value in values.split(b","))


def _forwarded_for(request: h11.Request) -> str:
    """The last address of X-Forwarded-For: those before it came from the client, and may be anything."""
    values = [value for key, value in request.headers if key == b"x-forwarded-for"]
    last = b",".join(values).rpartition(b",")[2].strip(b" \t").decode("latin-1")
    try:
        address = ipaddress.ip_address(last)
    except ValueError:
        return ""
    return "" if "%" in last else shown(address)


def _is_key(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == KEY_BYTES
    except binascii.Error:
        return False
