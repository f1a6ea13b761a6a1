"""TLS for copies of stores: with `cluster_log_tls_cert`, both nodes show that certificate."""

import ssl

from mq9fast.cluster.nats_connection import log_tls
from mq9fast.config.settings import Settings
from mq9fast.errors import StartError


def serving_tls(settings: Settings) -> ssl.SSLContext | None:
    """The context of a node that gives copies; None without a certificate. Raises StartError."""
    if settings.cluster_log_tls_cert is None:
        return None
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=settings.cluster_log_tls_ca)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(settings.cluster_log_tls_cert, settings.cluster_log_tls_key)
    except OSError as error:  # an SSLError is one
        raise StartError(f"cluster_log_tls: {error.strerror or error}") from error
    return context


def copying_tls(settings: Settings) -> ssl.SSLContext | None:
    """The context of a node that copies; None without a certificate. Raises StartError."""
    return None if settings.cluster_log_tls_cert is None else log_tls(settings)
