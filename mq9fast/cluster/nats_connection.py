"""The connection of a node to the NATS servers of the log, by nats-py: for the registry and for presence.

`cluster/node.py` opens one. Appends have a connection of their own (`cluster/jetstream_log.py`).
"""

import logging
import ssl
from pathlib import Path
from typing import Any

import nats.errors
import nats.js.errors
from nats.aio.client import Client

from mq9fast.cluster.connection import Access
from mq9fast.config.settings import Settings
from mq9fast.errors import StartError

log = logging.getLogger("mq9fast.cluster")

# What calls of nats-py raise when a server is away, slow, or refuses.
NATS_ERRORS = (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError)
CONNECT_SECONDS = 2
RECONNECT_SECONDS = 0.1
PING_SECONDS = 1


def servers(settings: Settings) -> list[str]:
    """The URLs in `cluster_log`; nats:// is added where one has no scheme."""
    listed = [each.strip() for each in (settings.cluster_log or "").split(",")]
    return [each if "://" in each else f"nats://{each}" for each in listed if each]


def log_tls(settings: Settings) -> ssl.SSLContext | None:
    """The TLS context for the log's servers, None without `cluster_log_tls_ca`. Raises StartError."""
    if settings.cluster_log_tls_ca is None:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.cluster_log_tls_ca)
        if settings.cluster_log_tls_cert is not None:
            context.load_cert_chain(settings.cluster_log_tls_cert, settings.cluster_log_tls_key)
    except OSError as error:  # an SSLError is one
        raise StartError(f"cluster_log_tls: {error.strerror or error}") from error
    return context


async def connect_to_log(settings: Settings) -> Client:
    """Connect, and go on connecting for as long as the process runs. Raises StartError for wrong credentials.

    Waits until one of the servers is there.
    """
    # nats-py takes a float, too, but declares an int.
    options: dict[str, Any] = {"reconnect_time_wait": RECONNECT_SECONDS}
    if settings.cluster_log_creds is not None:
        options["user_credentials"] = settings.cluster_log_creds
    if settings.cluster_log_user is not None:
        options |= {"user": settings.cluster_log_user, "password": settings.cluster_log_password}

    async def failed(error: Exception) -> None:
        log.debug("the connection to the log: %s", error)

    async def disconnected() -> None:
        if not client.is_closed:
            log.warning("the connection to a server of the log was lost")

    async def reconnected() -> None:
        url = client.connected_url
        log.info("connected to %s again", "?" if url is None else f"{url.hostname}:{url.port}")

    client = Client()
    try:
        await client.connect(
            servers(settings),
            name=f"mq9fast {settings.node_name}",
            tls=log_tls(settings),
            error_cb=failed,
            disconnected_cb=disconnected,
            reconnected_cb=reconnected,
            # The first one may be on this machine: then the loss of another one does not matter here.
            dont_randomize=True,
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            connect_timeout=CONNECT_SECONDS,
            ping_interval=PING_SECONDS,
            max_outstanding_pings=2,
            **options,
        )
    except NATS_ERRORS as error:
        raise StartError(f"cluster_log: {error}") from error
    return client


def log_access(settings: Settings) -> Access:
    """How the log is reached by the connection that appends. Raises StartError."""
    creds = settings.cluster_log_creds
    return Access(
        servers(settings),
        name=f"mq9fast {settings.node_name}",
        tls=log_tls(settings),
        user=settings.cluster_log_user,
        password=settings.cluster_log_password,
        creds=None if creds is None else Path(creds),
    )
