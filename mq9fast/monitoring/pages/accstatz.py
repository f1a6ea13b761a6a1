"""/accstatz: connections and traffic of each account, with nats-server's fields. There is one account.

It reads counters only.
"""

from typing import Any, ClassVar

from mq9fast.monitoring.broker_view import BrokerView
from mq9fast.monitoring.page import ACCOUNT, Page, Query, json_page, read_query
from mq9fast.monitoring.units import timestamp

NO_TRAFFIC = {"msgs": 0, "bytes": 0}


class AccstatzQuery(Query, frozen=True):
    """The parameters of /accstatz. `unused`: show the account without connections too."""

    unused: bool = False

    expected: ClassVar[dict[str, str]] = {"unused": "true or false", "limit": "a whole number"}


class Accstatz:
    """The page of one broker."""

    def __init__(self, broker: BrokerView) -> None:
        self._broker = broker

    def page(self, query_string: str) -> Page:
        """Raises HttpError (400)."""
        query = read_query(query_string, AccstatzQuery)
        broker, time = self._broker, self._broker.engine.time
        shown = query.unused or broker.connections
        return json_page(
            {
                "server_id": broker.handshake.server_id,
                "now": timestamp(time.wall_ms(time.now_ms)),
                "account_statz": [self._account()] if shown else [],
            }
        )

    def _account(self) -> dict[str, Any]:
        broker, engine = self._broker, self._broker.engine
        connections = len(broker.connections)
        return {
            "acc": ACCOUNT,
            "name": ACCOUNT,
            "conns": connections,
            "leafnodes": 0,
            "total_conns": connections,
            "num_subscriptions": engine.subscribed - engine.unsubscribed,
            "sent": _traffic(engine.pending_work.out_messages, engine.pending_work.out_bytes),
            "received": _traffic(engine.in_messages, engine.in_bytes),
            "slow_consumers": engine.pending_work.slow_consumers,
        }


def _traffic(messages: int, size: int) -> dict[str, Any]:
    """Messages and bytes; all of them of clients."""
    others = dict.fromkeys(("gateways", "routes", "leafs"), NO_TRAFFIC)
    return {"msgs": messages, "bytes": size, **others}
