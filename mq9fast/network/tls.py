"""TLS as the settings say."""

import contextlib
import socket
import ssl
from contextvars import ContextVar
from typing import Any

from mq9fast.config.settings import Settings
from mq9fast.errors import StartError

# The socket of the TLS handshake that the running task is about.
handshake_socket: ContextVar[socket.socket | None] = ContextVar("handshake_socket", default=None)
# What OpenSSL calls a peer that does not speak TLS: an alert would mean nothing to it.
NO_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST"}


class AlertingObject(ssl.SSLObject):
    """Sends the alert of a handshake that fails. Event loops close the socket with the alert unsent."""

    outgoing: ssl.MemoryBIO

    def do_handshake(self) -> None:
        """Do as much of the handshake as what was read allows."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            peer = handshake_socket.get()
            if peer is not None and error.reason not in NO_TLS:
                # A peer that is gone, or does not read, is told nothing.
                with contextlib.suppress(OSError):
                    peer.send(self.outgoing.read())
            raise


class AlertingContext(ssl.SSLContext):
    """A context whose handshakes tell their peers why they fail, where `handshake_socket` is set."""

    sslobject_class = AlertingObject

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **named: Any) -> Any:
        wrapped = super().wrap_bio(incoming, outgoing, *args, **named)
        wrapped.outgoing = outgoing  # type: ignore[attr-defined]
        return wrapped


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """The TLS to offer, or None; StartError if its files cannot be used."""
    if settings.tls_cert is None:
        return None
    context = AlertingContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, settings)
    if settings.tls_verify:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def renew(context: ssl.SSLContext, settings: Settings) -> None:
    """Read the files anew, for handshakes to come; StartError, and no change, if they cannot be used.

    An authority that was trusted stays so: OpenSSL takes none back.
    """
    _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), settings)
    _load(context, settings)


def _load(context: ssl.SSLContext, settings: Settings) -> None:
    assert settings.tls_cert is not None
    try:
        # Without a password of ours OpenSSL would ask for one on the terminal, and a service hang there.
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password="")
        if settings.tls_ca is not None:
            context.load_verify_locations(settings.tls_ca)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(name for name in (settings.tls_cert, settings.tls_key, settings.tls_ca) if name)
        raise StartError(f"the TLS files {files} cannot be used: {error}") from error
