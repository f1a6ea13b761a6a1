"""The pages of nats-server about what this broker does not have: JetStream and clusters.

Tools for nats-server read them. They answer as a nats-server without these features does.
"""

from typing import Any

from mq9fast.monitoring.broker_view import BrokerView
from mq9fast.monitoring.page import Page, Route, json_page
from mq9fast.monitoring.units import timestamp

NO_JETSTREAM: dict[str, Any] = {
    **dict.fromkeys(("memory", "storage", "reserved_memory", "reserved_storage", "accounts", "ha_assets"), 0),
    "api": {"level": 0, "total": 0, "errors": 0},
    "disabled": True,
    "config": {"max_memory": 0, "max_storage": 0},
    **dict.fromkeys(("streams", "consumers", "messages", "bytes", "total"), 0),
}


def absent_pages(broker: BrokerView) -> dict[str, Route]:
    """The pages of one broker, by path."""
    name = {"server_name": broker.handshake.server_name}
    fields: dict[str, dict[str, Any]] = {
        "/jsz": NO_JETSTREAM,
        "/routez": {**name, "num_routes": 0, "routes": []},
        "/gatewayz": {"outbound_gateways": {}, "inbound_gateways": {}},
        "/leafz": {"leafnodes": 0, "leafs": []},
    }
    return {path: _page(broker, body) for path, body in fields.items()}


def _page(broker: BrokerView, body: dict[str, Any]) -> Route:
    def page(_query: str) -> Page:
        time = broker.engine.time
        head = {"server_id": broker.handshake.server_id, "now": timestamp(time.wall_ms(time.now_ms))}
        return json_page({**head, **body})

    return page
