"""The TLS context that the settings describe. `server/broker.py` creates it, and a reload renews its
certificates.

It reads the certificate files. `admission.py` uses the context for handshakes.
"""

import contextlib
import socket
import ssl
from contextvars import ContextVar
from typing import Any

from mq9fast.config.settings import Settings
from mq9fast.errors import StartError

# The socket whose TLS handshake the current task does.
handshake_socket: ContextVar[socket.socket | None] = ContextVar("handshake_socket", default=None)
# OpenSSL's reasons for a peer that does not speak TLS. It would not understand an alert.
NOT_TLS_REASONS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST"}


class AlertingObject(ssl.SSLObject):
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
                # The peer may be gone, or may not read.
                with contextlib.suppress(OSError):
                    peer.send(self.outgoing_bio.read())
            raise


class AlertingContext(ssl.SSLContext):
    """A context whose failed handshakes end with an alert, if `handshake_socket` is set."""

    sslobject_class = AlertingObject

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **named: Any) -> Any:
        wrapped = super().wrap_bio(incoming, outgoing, *args, **named)
        wrapped.outgoing_bio = outgoing  # type: ignore[attr-defined]
        return wrapped


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """The context for the settings, None without TLS. Raises StartError if a file cannot be used."""
    if settings.tls_cert is None:
        return None
    context = AlertingContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, settings)
    if settings.tls_verify:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def renew(context: ssl.SSLContext, settings: Settings) -> None:
    """Read the files again, for later handshakes. Raises StartError, and changes nothing, if one cannot be
    used.

    A certificate authority stays trusted until a restart: OpenSSL cannot remove one.
    """
    _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), settings)
    _load(context, settings)


def _load(context: ssl.SSLContext, settings: Settings) -> None:
    assert settings.tls_cert is not None
    try:
        # Without a password OpenSSL would ask for one on the terminal, and the broker would hang.
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password="")
        if settings.tls_ca is not None:
            context.load_verify_locations(settings.tls_ca)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(name for name in (settings.tls_cert, settings.tls_key, settings.tls_ca) if name)
        raise StartError(f"the TLS files {files} cannot be used: {error}") from error
