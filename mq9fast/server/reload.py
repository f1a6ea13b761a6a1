"""Applies new settings to a running broker: users, permissions, limits, certificates.

`server/process.py` calls `reload` on SIGHUP.
"""

import logging
import time
from functools import partial
from typing import Any

from mq9fast.auth.authenticator import UNVERIFIED, Identity
from mq9fast.config.settings import SETTINGS, Settings
from mq9fast.errors import SettingsError
from mq9fast.network.close_reasons import REVOKED
from mq9fast.network.connection import TOO_MANY_CONNECTIONS, Connection
from mq9fast.network.descriptors import raise_descriptor_limit
from mq9fast.network.handshake import Handshake, set_identity
from mq9fast.network.tls import of_monitoring_port, of_websocket_port, reload_certificates, tls_context
from mq9fast.server.broker import Broker
from mq9fast.server.limits import set_limits

log = logging.getLogger("mq9fast.reload")


def reload(broker: Broker, settings: Settings) -> None:
    """Apply `settings` to `broker`, and check every connected client again.

    Raises SettingsError for the first setting that only a restart can change, StartError for TLS files that
    cannot be used and origins that are none; then everything is as before.
    """
    _check_fixed(broker.settings, settings)
    # Imported late, because a start must be quick.
    from mq9fast.network.websocket.origins import Origins

    Origins(settings)
    tls, websocket_tls = tls_context(settings), None
    if broker.websocket is not None:
        websocket_tls = tls_context(of_websocket_port(settings))
    # Last of what may fail: it changes the context that the port uses.
    if broker.monitor_tls is not None:
        reload_certificates(broker.monitor_tls, of_monitoring_port(settings))
    told, broker.settings = _told_again(broker.handshake), settings
    broker.settings_loaded_ms = time.time_ns() // 1_000_000
    broker.set_tls(tls, websocket_tls)
    broker.engine.max_payload = settings.max_payload
    broker.handshake.apply(settings)
    if broker.websocket is not None:
        broker.websocket.apply(settings)
    set_limits(broker.limits, settings, raise_descriptor_limit(settings.max_connections, broker.max_tables))
    tell = _told_again(broker.handshake)
    for connection in list(broker.connections.values()):
        if tell[connection.client_type] != told[connection.client_type]:
            connection.send_info(lame_duck=broker.lame_duck)
        _recheck(broker, connection)
    _close_surplus(broker)
    logging.getLogger().setLevel(settings.log_level.upper())
    log.info("settings reloaded")


def _told_again(handshake: Handshake) -> dict[str, dict[str, Any]]:
    """The fields of INFO that connected clients are told when they change, by the type of the client."""
    fields = {name: value for name, value in handshake.fields.items() if name != "auth_required"}
    return {client_type: {**fields, **own} for client_type, own in handshake.info_overrides.items()}


def _check_fixed(old: Settings, new: Settings) -> None:
    for row in SETTINGS:
        if row.fixed and getattr(old, row.name) != getattr(new, row.name):
            raise SettingsError(f"{row.name} cannot change while the broker runs")


def _close_surplus(broker: Broker) -> None:
    """Close the newest connections if max_connections is lower than their number now."""
    staying = [it for it in broker.connections.values() if not it.session.closing]
    surplus = staying[broker.limits.max_connections :]
    if surplus:
        log.warning("closing %d connections: max_connections is lower now", len(surplus))
    for connection in surplus:
        connection.session.close_with(TOO_MANY_CONNECTIONS)


def _recheck(broker: Broker, connection: Connection) -> None:
    """Close a client whose credentials are not valid any more; others get their new permissions."""
    session = connection.session
    # A client whose password is being checked is checked against these settings already.
    if session.authorized and not session.connect_pending:
        broker.handshake.recheck(session, connection.link, partial(_apply_verdict, connection))


def _apply_verdict(connection: Connection, identity: Identity | None) -> None:
    session = connection.session
    if identity is None:
        log.info("closing %s:%d: not authorized under the new settings", *connection.peer)
        session.close_with(b"Authorization Violation")
        return
    if identity is UNVERIFIED:
        # No -ERR: after `Authorization Violation` clients do not reconnect, and the password may be right.
        log.info(
            "closing %s:%d: the hash of its password was replaced, so it has to sign in again",
            *connection.peer,
        )
        connection.end_reason = REVOKED
        session.close_with(None)
        return
    set_identity(session, identity)
