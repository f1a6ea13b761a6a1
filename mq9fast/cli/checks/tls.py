"""Whether the certificates of the settings are valid now, and until when."""

import ssl
import time
from collections.abc import Iterator

from mq9fast.cli.checks.machine import Finding
from mq9fast.config.paths import utf8_path
from mq9fast.config.settings import Settings
from mq9fast.errors import StartError
from mq9fast.network.tls import of_websocket_port, tls_context

SOON_DAYS = 21
DAY_SECONDS = 86400


def certificates(settings: Settings) -> Iterator[Finding]:
    """A finding for each certificate: of the client port, and of the WebSocket port if it has its own."""
    yield from _certificate("certificate", settings)
    if settings.ws_tls_cert is not None:
        yield from _certificate("ws certificate", of_websocket_port(settings))


def _certificate(check: str, settings: Settings) -> Iterator[Finding]:
    """A finding about the certificate; none without TLS."""
    if settings.tls_cert is None:
        return
    try:
        tls_context(settings)
        end = _valid_until(settings)
    except StartError as error:
        yield Finding(check, "error", str(error))
    except ssl.SSLCertVerificationError as error:
        yield Finding(check, "warning", f"{settings.tls_cert}: {error.verify_message}")
    else:
        days = int((end - time.time()) // DAY_SECONDS)
        state = "warning" if days < SOON_DAYS else "ok"
        date = time.strftime("%Y-%m-%d", time.gmtime(end))
        yield Finding(check, state, f"{settings.tls_cert} is valid until {date}, for {days} days")


def _valid_until(settings: Settings) -> float:
    """When the certificate ends, in Unix seconds. Raises SSLCertVerificationError if it is not valid now.

    A handshake in memory finds it out, with a client that trusts just this certificate.
    """
    assert settings.tls_cert is not None
    file = utf8_path(settings.tls_cert)
    accepting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    accepting.load_cert_chain(file, settings.tls_key and utf8_path(settings.tls_key))
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asking.check_hostname = False
    asking.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    asking.load_verify_locations(file)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = accepting.wrap_bio(to_server, to_client, server_side=True)
    client = asking.wrap_bio(to_client, to_server)
    for side in (client, server, client):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    shown = client.getpeercert()
    assert shown is not None
    return ssl.cert_time_to_seconds(str(shown["notAfter"]))
