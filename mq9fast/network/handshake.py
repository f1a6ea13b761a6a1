"""INFO and CONNECT (NATS protocol): what the broker says of itself, and how a client signs in.

`server/broker.py` creates one `Handshake`, and each `Connection` calls it. `server/reload.py` calls `apply`
with new settings, then `recheck` for each connected client. A `Handshake` checks credentials with an
`Authenticator`, and sets the fields of the session that a CONNECT decides.
"""

import base64
import os
import platform
import ssl
import string
import sys
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import msgspec

from mq9fast._core.session import Session
from mq9fast.auth.authenticator import Authenticator, Identity, Link, OnResult
from mq9fast.auth.certificate import public_key_info
from mq9fast.auth.passwords import Passwords
from mq9fast.config.settings import Settings
from mq9fast.network.connect_options import ConnectOptions, read_options
from mq9fast.text import printable
from mq9fast.version import VERSION

# The version in INFO: the nats-server whose protocol the broker speaks. Clients compare it with versions of
# nats-server, to decide which features they may use.
NATS_SERVER_VERSION = "2.11.0"
# The values of `protocol` in a CONNECT. None: the client sent none.
KNOWN_PROTOCOLS = {None, 0, 1}
# The id of the broker looks like nats-server's, which is a public NKEY.
ID_CHARACTERS = string.ascii_uppercase + string.digits
ID_LENGTH = 56
# As on nats-server.
NONCE_BYTES = 11
# The broker keeps this many characters of a client's name, and of its language and version each.
MAX_NAME_CHARACTERS = 256
MAX_LANG_CHARACTERS = 64
# This many languages and versions, those used last, are shared between sessions.
MAX_SHARED_LANGS = 256


def set_identity(session: Session, identity: Identity) -> None:
    """Give a client the name and the permissions with which it signed in."""
    session.identity = identity
    session.sender_block = identity.sender_block
    session.permit(identity.permissions)


def random_id() -> str:
    """A random id of the length of nats-server's."""
    number = int.from_bytes(os.urandom(ID_LENGTH), "big")
    characters = []
    for _ in range(ID_LENGTH):
        number, index = divmod(number, len(ID_CHARACTERS))
        characters.append(ID_CHARACTERS[index])
    return "".join(characters)


class Handshake:
    """INFO and CONNECT for all connections of a broker. `port` is the client port that it listens on."""

    def __init__(
        self, settings: Settings, port: int, tls: ssl.SSLContext | None, passwords: Passwords
    ) -> None:
        self.tls = tls
        self.server_id = random_id()
        self.server_name = settings.server_name or self.server_id
        # On nats-server the version of Go.
        self.language = f"{sys.implementation.name}{platform.python_version()}"
        self._passwords = passwords
        self._port = port
        # Called for each CONNECT that is accepted.
        self.signed_in: Callable[[Session], None] = lambda _session: None
        # Most clients have one of a few languages and versions: their sessions share the strings.
        self._shared_lang = lru_cache(MAX_SHARED_LANGS)(partial(printable, max_length=MAX_LANG_CHARACTERS))
        # Fields of INFO that differ by client type. `fields` has those of all.
        self.info_overrides: dict[str, dict[str, Any]] = {"nats": {}}
        # Addresses of other nodes of the cluster, as host:port, which `connect_urls` has besides its own.
        self.other_urls: tuple[str, ...] = ()
        self.apply(settings)

    def apply(self, settings: Settings) -> None:
        """Use these settings from now on."""
        self._authenticator = Authenticator(settings, self._passwords)
        self.auth_required = self._authenticator.required
        self.without_credentials = self._authenticator.without_credentials
        self.auth_timeout = settings.auth_timeout
        self.tls_handshake_rate = settings.tls_handshake_rate
        self._pinned_certs = settings.pinned_certs
        self.write_deadline = settings.write_deadline
        self._advertised = settings.advertised
        self.ping_interval = settings.ping_interval
        self.ping_max = settings.ping_max
        # As on nats-server, clients are told the address that is advertised.
        host, _, port = settings.advertised[0].rpartition(":") if settings.advertised else ("", "", "")
        self.fields: dict[str, Any] = {
            "server_id": self.server_id,
            "server_name": self.server_name,
            "version": NATS_SERVER_VERSION,
            "mq9fast": VERSION,
            "proto": 1,
            # Some clients fail without this field.
            "go": self.language,
            "host": host.strip("[]") or settings.host,
            "port": int(port or self._port),
            "headers": True,
            "max_payload": settings.max_payload,
            "auth_required": not self._authenticator.optional,
            "tls_required": self.tls is not None and not settings.allow_non_tls,
            "tls_available": self.tls is not None and settings.allow_non_tls,
            "tls_verify": self.tls is not None and self.tls.verify_mode == ssl.CERT_REQUIRED,
            "cluster": settings.cluster_name if settings.cluster_log else "",
            "connect_urls": self.connect_urls,
        }

    @property
    def connect_urls(self) -> tuple[str, ...]:
        """Addresses for clients as host:port, each once: what is advertised, and those of other nodes."""
        return tuple(dict.fromkeys((*self._advertised, *self.other_urls)))

    def accepts_certificate(self, der: bytes) -> bool:
        """Whether a client may show this certificate, in DER, by `tls_pinned_certs`."""
        if not self._pinned_certs:
            return True
        import hashlib

        return hashlib.sha256(public_key_info(der)).hexdigest() in self._pinned_certs

    def server_identity(self, host: str) -> dict[str, Any]:
        """The fields that describe the broker in a message trace."""
        return {"name": self.server_name, "host": host, "id": self.server_id, "ver": NATS_SERVER_VERSION}

    def nonce(self) -> str:
        """The nonce that a client with an NKEY signs; "" if no user has an NKEY."""
        if not self._authenticator.needs_nonce:
            return ""
        return base64.urlsafe_b64encode(os.urandom(NONCE_BYTES)).rstrip(b"=").decode()

    def info(
        self,
        client_id: int,
        client_ip: str,
        nonce: str = "",
        client_type: str = "nats",
        *,
        lame_duck: bool = False,
    ) -> bytes:
        """The INFO line for one client. `client_type` is "nats" or "websocket"."""
        of_client = {"client_id": client_id, "client_ip": client_ip, "nonce": nonce, "ldm": lame_duck}
        fields = {**self.fields, **self.info_overrides[client_type], **of_client}
        # As on nats-server, fields that are false or empty are left out.
        return b"INFO " + msgspec.json.encode({name: it for name, it in fields.items() if it}) + b"\r\n"

    def connect(self, session: Session, text: bytes, link: Link, accepted: Callable[[], None]) -> None:
        """Handle a CONNECT, at once or, if a password has to be checked in a thread, in a later turn.

        If the credentials are right, this calls `accepted` and sets the session's fields. Otherwise it closes
        the session with nats-server's -ERR, or with none if `text` is invalid. If the protocol is unknown, or
        the client wants no_responders without headers, it calls `accepted` and then closes the session. A
        CONNECT after the first needs no credentials.
        """
        try:
            options = read_options(text)
        except ValueError:
            session.close_with(None)
            return
        if link.cookies is not None:
            options.complete(link.cookies)

        def on_result(identity: Identity | None) -> None:
            if not session.closing:
                self._accept(session, options, identity, accepted)

        session.wait()
        if options.account:
            on_result(None)
        elif session.authorized and not options.has_credentials:
            on_result(session.identity)
        else:
            self._check(session, options, link, on_result)

    def _check(self, session: Session, options: ConnectOptions, link: Link, on_result: OnResult) -> None:
        authenticator = self._authenticator

        def checked(identity: Identity | None) -> None:
            if authenticator is self._authenticator:
                on_result(identity)
            else:
                # The settings were reloaded while the password was checked: check again with the new ones.
                self._check(session, options, link, on_result)

        authenticator.check(options, link, checked, lambda: not session.closing)

    def recheck(self, session: Session, link: Link, on_result: OnResult) -> None:
        """Call `on_result` with the identity of a connected client under the current settings, None for none.

        `on_result` is not called if the client sends another CONNECT, or the settings change again, first.
        """
        authenticator, identity = self._authenticator, session.identity

        def still_needed() -> bool:
            same = authenticator is self._authenticator and identity is session.identity
            return same and not session.closing

        def checked(found: Identity | None) -> None:
            if still_needed():
                on_result(found)

        authenticator.recheck(identity, link, checked, still_needed)

    def _accept(
        self,
        session: Session,
        options: ConnectOptions,
        identity: Identity | None,
        accepted: Callable[[], None],
    ) -> None:
        if identity is None:
            session.close_with(b"Authorization Violation")
            return
        session.authorized = True
        set_identity(session, identity)
        accepted()
        if options.protocol not in KNOWN_PROTOCOLS:
            session.close_with(b"invalid client protocol")
            return
        for name in ("verbose", "pedantic", "echo", "headers", "no_responders"):
            value = getattr(options, name)
            if value is not None:
                setattr(session, name, value)
        self._keep_client_info(session, options)
        if session.no_responders and not session.headers:
            session.close_with(b"no responders requires headers support")
            return
        self.signed_in(session)
        session.proceed()

    def _keep_client_info(self, session: Session, options: ConnectOptions) -> None:
        """Keep the client's name, language and version, for monitoring."""
        if options.name is not None:
            session.name = printable(options.name, MAX_NAME_CHARACTERS)
        if options.lang is not None:
            session.lang = self._shared_lang(options.lang)
        if options.version is not None:
            session.version = self._shared_lang(options.version)
