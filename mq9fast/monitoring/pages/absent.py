"""The pages of nats-server about what this broker does not have: JetStream and clusters.

Tools for nats-server read them. They answer as a nats-server without these features does.
"""

from typing import Any, ClassVar, Literal

import msgspec

from mq9fast.monitoring.broker_view import BrokerView
from mq9fast.monitoring.page import HttpError, Page, Route, json_page
from mq9fast.monitoring.query import GoInt, Query, read_query
from mq9fast.monitoring.units import timestamp

NO_JETSTREAM: dict[str, Any] = {
    **dict.fromkeys(("memory", "storage", "reserved_memory", "reserved_storage", "accounts", "ha_assets"), 0),
    "api": {"level": 0, "total": 0, "errors": 0},
    "disabled": True,
    "config": {"max_memory": 0, "max_storage": 0},
    **dict.fromkeys(("streams", "consumers", "messages", "bytes", "total"), 0),
}


class JszQuery(Query, frozen=True):
    """The parameters of /jsz. `leader_only`: only the leader of a cluster answers, and there is none."""

    accounts: bool = False
    streams: bool = False
    consumers: bool = False
    direct_consumers: bool = msgspec.field(default=False, name="direct-consumers")
    config: bool = False
    offset: GoInt = 0
    limit: GoInt = 0
    leader_only: bool = msgspec.field(default=False, name="leader-only")
    raft: bool = False
    stream_leader_only: bool = msgspec.field(default=False, name="stream-leader-only")

    expected: ClassVar[dict[str, str]] = dict.fromkeys(("offset", "limit"), "a whole number")


class RoutezQuery(Query, frozen=True):
    """The parameters of /routez."""

    subs: bool | Literal["detail"] = False

    any_case: ClassVar[frozenset[str]] = frozenset(("subs",))
    expected: ClassVar[dict[str, str]] = {"subs": "true, false or detail"}


class GatewayzQuery(RoutezQuery, frozen=True):
    """The parameters of /gatewayz."""

    accs: bool = False


class LeafzQuery(Query, frozen=True):
    """The parameters of /leafz."""

    subs: bool = False


def absent_pages(broker: BrokerView) -> dict[str, Route]:
    """The pages of one broker, by path."""
    name = {"server_name": broker.handshake.server_name}
    pages: dict[str, tuple[dict[str, Any], type[Query]]] = {
        "/jsz": (NO_JETSTREAM, JszQuery),
        "/routez": ({**name, "num_routes": 0, "routes": []}, RoutezQuery),
        "/gatewayz": ({"outbound_gateways": {}, "inbound_gateways": {}}, GatewayzQuery),
        "/leafz": ({"leafnodes": 0, "leafs": []}, LeafzQuery),
    }
    return {path: _page(broker, *fields) for path, fields in pages.items()}


def _page(broker: BrokerView, body: dict[str, Any], kind: type[Query]) -> Route:
    def page(query_string: str) -> Page:
        query = read_query(query_string, kind)
        if isinstance(query, JszQuery) and query.leader_only:
            raise HttpError(400, "This broker leads no cluster of JetStream.")
        time = broker.engine.time
        head = {"server_id": broker.handshake.server_id, "now": timestamp(time.wall_ms(time.now_ms))}
        return json_page({**head, **body})

    return page
