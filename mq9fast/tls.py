"""TLS as the settings say."""

import ssl

from mq9fast.errors import StartError
from mq9fast.settings import Settings


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """The TLS to offer, or None; StartError if its files cannot be used."""
    if settings.tls_cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
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
