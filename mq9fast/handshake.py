"""INFO and CONNECT: what a broker says of itself, and what it makes of what a client says (NATS protocol)."""

import platform
import secrets
import ssl
import string
import sys
from typing import Any

import msgspec

from mq9fast._core.session import Session
from mq9fast.auth import Authenticator
from mq9fast.settings import Settings
from mq9fast.version import VERSION

# What clients compare against the versions of nats-server, for features they would otherwise not use.
PROTOCOL_VERSION = "2.11.0"
KNOWN_PROTOCOLS = {None, 0, 1}
ID_CHARACTERS = string.ascii_uppercase + string.digits
ID_LENGTH = 56


class ConnectOptions(msgspec.Struct):
    """The JSON of CONNECT. What is absent stays as it was before."""

    verbose: bool | None = None
    pedantic: bool | None = None
    echo: bool | None = None
    headers: bool | None = None
    no_responders: bool | None = None
    user: str | None = None
    password: str | None = msgspec.field(default=None, name="pass")
    auth_token: str | None = None
    account: str | None = None
    protocol: int | None = None
    # Of no use here, but of the wrong type they are a CONNECT that nats-server refuses.
    name: str | None = None
    lang: str | None = None
    version: str | None = None


class Handshake:
    """The policy that every connection of a broker begins with. `port` is the one it really listens on."""

    def __init__(self, settings: Settings, port: int, tls: ssl.SSLContext | None) -> None:
        self._authenticator = Authenticator(settings)
        self.tls = tls
        self.auth_required = self._authenticator.required
        self.auth_timeout = settings.auth_timeout
        self.write_deadline = settings.write_deadline
        self.ping_interval = settings.ping_interval
        self.ping_max = settings.ping_max
        self.server_id = "".join(secrets.choice(ID_CHARACTERS) for _ in range(ID_LENGTH))
        self.server_name = settings.server_name or self.server_id
        self._info: dict[str, Any] = {
            "server_id": self.server_id,
            "server_name": self.server_name,
            "version": PROTOCOL_VERSION,
            "mq9fast": VERSION,
            "proto": 1,
            # The language of the server; some clients fail without it.
            "go": f"{sys.implementation.name}{platform.python_version()}",
            "host": settings.host,
            "port": port,
            "headers": True,
            "max_payload": settings.max_payload,
        }
        # What is false is left out, as on nats-server.
        if self.auth_required:
            self._info["auth_required"] = True
        if tls is not None:
            self._info["tls_required"] = True
            if tls.verify_mode == ssl.CERT_REQUIRED:
                self._info["tls_verify"] = True
        if settings.advertised:
            self._info["connect_urls"] = settings.advertised

    def info(self, client_id: int, client_ip: str, *, lame_duck: bool = False) -> bytes:
        """The INFO line for one client."""
        fields = {**self._info, "client_id": client_id, "client_ip": client_ip}
        if lame_duck:
            fields["ldm"] = True
        return b"INFO " + msgspec.json.encode(fields) + b"\r\n"

    def connect(self, session: Session, text: bytes) -> None:
        """Take over what CONNECT says, or close, with nats-server's last words, which may be none."""
        try:
            options = msgspec.json.decode(text, type=ConnectOptions | None) or ConnectOptions()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            session.close_with(None)
            return
        if not self._may_connect(session, options):
            session.close_with(b"Authorization Violation")
            return
        session.authorized = True
        if options.protocol not in KNOWN_PROTOCOLS:
            session.close_with(b"invalid client protocol")
            return
        for name in ("verbose", "pedantic", "echo", "headers", "no_responders"):
            value = getattr(options, name)
            if value is not None:
                setattr(session, name, value)
        if session.no_responders and not session.headers:
            session.close_with(b"no responders requires headers support")

    def _may_connect(self, session: Session, options: ConnectOptions) -> bool:
        """There are no accounts. A CONNECT after the first need not repeat the credentials."""
        credentials = (options.user, options.password, options.auth_token)
        if options.account:
            return False
        if session.authorized and credentials == (None, None, None):
            return True
        user, password, token = credentials
        return self._authenticator.accepts(user=user, password=password, token=token)
