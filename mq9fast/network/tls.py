"""The TLS context that the settings describe. A handshake that fails with it ends with an alert, which tells
the peer the reason.

`server/broker.py` and `server/reload.py` create contexts, and `admission.py` uses them for handshakes. This
module reads the certificate files.
"""

import contextlib
import socket
import ssl
from _ssl import ENCODING_DER
from contextvars import ContextVar
from typing import Any, cast

from msgspec.structs import replace

from mq9fast.auth.certificate import Certificate
from mq9fast.config.paths import utf8_path
from mq9fast.config.settings import Settings
from mq9fast.errors import StartError

# The socket of the handshake that the current task does. `AlertingSSLObject` sends its alert there: it has no
# other access to the socket, because the transport moves the bytes.
handshake_socket: ContextVar[socket.socket | None] = ContextVar("handshake_socket", default=None)
# OpenSSL's reasons for an error if the peer does not speak TLS. Such a peer gets no alert.
NOT_TLS_REASONS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST"}
# The settings of the client port's TLS, turned off.
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
# The TLS of a port does not depend on users, but settings with users are checked.
NO_USERS: dict[str, Any] = {"users": (), "no_auth_user": None}
NO_TLS: dict[str, Any] = {
    "tls_cert": None,
    "tls_key": None,
    "tls_ca": None,
    "tls_verify": False,
    "tls_verify_and_map": False,
    "tls_ciphers": None,
    "tls_pinned_certs": None,
    "tls_handshake_first": "off",
    "allow_non_tls": False,
    "monitor_tls": False,
    **NO_USERS,
}


class AlertingSSLObject(ssl.SSLObject):
    """Sends an alert when a handshake fails. Event loops would close the socket without sending it."""

    outgoing_bio: ssl.MemoryBIO

    def do_handshake(self) -> None:
        """Do as much of the handshake as the received data allows."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            peer = handshake_socket.get()
            if peer is not None and error.reason not in NOT_TLS_REASONS:
                # Sending fails if the peer has closed the connection, or if its socket is full. Then the
                # alert is lost.
                with contextlib.suppress(OSError):
                    peer.send(self.outgoing_bio.read())
            raise


class AlertingContext(ssl.SSLContext):
    """A context whose failed handshakes end with an alert, if `handshake_socket` is set."""

    sslobject_class = AlertingSSLObject

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **named: Any) -> Any:
        wrapped = super().wrap_bio(incoming, outgoing, *args, **named)
        wrapped.outgoing_bio = outgoing  # type: ignore[attr-defined]
        return wrapped


def of_websocket_port(settings: Settings) -> Settings:
    """The settings with the TLS of the WebSocket port instead of the client port's."""
    if settings.ws_tls_cert is None:
        return settings if settings.ws_tls else replace(settings, **NO_TLS)
    names = ("tls_cert", "tls_key", "tls_ca", "tls_verify", "tls_verify_and_map")
    own = {name: getattr(settings, f"ws_{name}") for name in names}
    return replace(settings, **{**NO_TLS, **own})


def of_monitoring_port(settings: Settings) -> Settings:
    """The settings with the TLS of the monitoring port, which asks for no client certificates."""
    if not settings.monitor_tls:
        return replace(settings, **NO_TLS)
    no_clients = {"tls_verify": False, "tls_verify_and_map": False, "tls_pinned_certs": None}
    return replace(settings, **no_clients, **NO_USERS)


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """The context for the settings, None without TLS. Raises StartError if a file cannot be used."""
    if settings.tls_cert is None:
        return None
    context = AlertingContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, settings)
    _set_rules(context, settings)
    return context


def reload_certificates(context: ssl.SSLContext, settings: Settings) -> None:
    """Read the TLS files again, and require client certificates or not, for later handshakes.

    Raises StartError, and changes nothing, if a file cannot be used. A certificate authority stays trusted
    until a restart: OpenSSL cannot remove one.
    """
    tried = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(tried, settings)
    _set_rules(tried, settings)
    _load(context, settings)
    _set_rules(context, settings)


def _set_rules(context: ssl.SSLContext, settings: Settings) -> None:
    """Set versions, ciphers, and whether clients need a certificate."""
    context.minimum_version = VERSIONS[settings.tls_min_version]
    if settings.tls_ciphers is not None:
        try:
            context.set_ciphers(settings.tls_ciphers)
        except ssl.SSLError as error:
            raise StartError(
                f"tls_ciphers: OpenSSL knows none of {settings.tls_ciphers!r}: {error}"
            ) from error
    required = settings.tls_verify or settings.tls_verify_and_map
    context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_NONE


def _load(context: ssl.SSLContext, settings: Settings) -> None:
    assert settings.tls_cert is not None
    try:
        # Without a password OpenSSL would ask for one on the terminal, and the broker would hang.
        key = None if settings.tls_key is None else utf8_path(settings.tls_key)
        context.load_cert_chain(utf8_path(settings.tls_cert), key, password="")
        if settings.tls_ca is not None:
            context.load_verify_locations(utf8_path(settings.tls_ca))
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(name for name in (settings.tls_cert, settings.tls_key, settings.tls_ca) if name)
        raise StartError(f"the TLS files {files} cannot be used: {error}") from error


def sent_certificates(tls: ssl.SSLObject) -> list[tuple[Certificate, bytes]]:
    """The certificates that the peer sent, its own first, each with its DER; [] in a resumed session."""
    # The public method, which Python has from 3.13 on, gives the DER without the names.
    chain = cast(Any, tls)._sslobj.get_unverified_chain()
    return [(each.get_info(), each.public_bytes(ENCODING_DER)) for each in chain or ()]
