"""What `$SYS.REQ.` requests tell about the broker, its account and a client, with nats-server's fields."""

import os
from collections.abc import Mapping
from typing import Any

import msgspec

from mq9fast.auth.authenticator import Identity
from mq9fast.config.settings import Settings
from mq9fast.config.users import PermissionLists, ResponseLimits, SubjectLists, subject_lists
from mq9fast.monitoring.broker_view import BrokerView
from mq9fast.monitoring.page import ACCOUNT, SYSTEM_ACCOUNT, Route
from mq9fast.monitoring.subscriptions import NO_SUBSCRIPTIONS, sublist_stats
from mq9fast.monitoring.units import timestamp
from mq9fast.network.handshake import NATS_SERVER_VERSION

# Fields of /varz that the statistics of a server repeat.
FROM_VARZ = ("start", "mem", "cores", "cpu", "connections", "total_connections", "subscriptions")
REDACTED = "[REDACTED]"


def server_info(broker: BrokerView, sequence: int) -> dict[str, Any]:
    """The head of each answer. `sequence` counts answers."""
    time = broker.engine.time
    return {
        "name": broker.handshake.server_name,
        "host": broker.settings.host,
        "id": broker.handshake.server_id,
        "ver": NATS_SERVER_VERSION,
        "jetstream": False,
        "flags": 0,
        "seq": sequence,
        "time": timestamp(time.wall_ms(time.now_ms)),
    }


def server_stats(broker: BrokerView, routes: Mapping[str, Route]) -> dict[str, Any]:
    """The statistics of the broker: the answer to SERVER.PING."""
    varz = msgspec.json.decode(b"".join(routes["/varz"]("").pieces))
    sent = {"msgs": varz["out_msgs"], "bytes": varz["out_bytes"]}
    received = {"msgs": varz["in_msgs"], "bytes": varz["in_bytes"]}
    return {
        **{name: varz[name] for name in FROM_VARZ},
        "active_accounts": 1,
        "sent": sent,
        "sent_to_clients": sent,
        "received": received,
        "received_from_clients": received,
        "slow_consumers": varz["slow_consumers"],
        "slow_consumer_stats": varz["slow_consumer_stats"],
        "stale_connections": varz["stale_connections"],
        "active_servers": 1,
        "gomaxprocs": os.cpu_count() or 1,
    }


def account_info(broker: BrokerView, name: str) -> dict[str, Any]:
    """The account of all clients, or the system account, which has none."""
    is_system = name == SYSTEM_ACCOUNT
    return {
        "account_name": name,
        "update_time": timestamp(broker.settings_loaded_ms),
        **({"is_system": True} if is_system else {}),
        "expired": False,
        "complete": True,
        "jetstream_enabled": False,
        "leafnode_connections": 0,
        "client_connections": 0 if is_system else len(broker.connections),
        "subscriptions": 0 if is_system else broker.engine.subscribed - broker.engine.unsubscribed,
        "name_tag": name,
        "sublist_stats": NO_SUBSCRIPTIONS if is_system else sublist_stats(broker.engine),
    }


def user_info(settings: Settings, identity: Identity) -> dict[str, Any]:
    """Who a client is, and what it may do."""
    name = REDACTED if identity.kind == "token" else identity.name
    lists = next((user.permissions for user in settings.users if user.name == identity.name), None)
    if settings.users:
        lists = lists or settings.default_permissions
    shown = {} if lists is None else {"permissions": _permissions(lists)}
    return {"user": name, "account": ACCOUNT, "account_name": ACCOUNT, **shown}


def _permissions(lists: PermissionLists) -> dict[str, Any]:
    publish = subject_lists(lists.publish)
    responses = lists.allow_responses
    if responses and publish.allowed is None:
        publish = SubjectLists((), publish.deny)
    shown: dict[str, Any] = {
        "publish": _subjects(publish),
        "subscribe": _subjects(subject_lists(lists.subscribe)),
    }
    if responses:
        limits = responses if isinstance(responses, ResponseLimits) else ResponseLimits()
        # nats-server's numbers: -1 is no limit, and times are nanoseconds.
        expires = int(limits.expires * 1_000_000_000) or -1
        shown["responses"] = {"max": limits.max or -1, "ttl": expires}
    return shown


def _subjects(lists: SubjectLists) -> dict[str, Any]:
    chosen = {"allow": lists.allowed, "deny": lists.denied}
    return {name: subjects for name, subjects in chosen.items() if subjects}
