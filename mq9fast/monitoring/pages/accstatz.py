"""/accstatz: connections and traffic of each account, with nats-server's fields.

It reads counters only.
"""

from typing import Any, ClassVar

from mq9fast.monitoring.broker_view import BrokerView
from mq9fast.monitoring.page import ACCOUNT, SYSTEM_ACCOUNT, Page, json_page
from mq9fast.monitoring.query import Query, read_query
from mq9fast.monitoring.units import timestamp

NOTHING = {"msgs": 0, "bytes": 0}


class AccstatzQuery(Query, frozen=True):
    """The parameters of /accstatz. `unused`: show accounts without connections too. `acc`: only these
    accounts, with commas."""

    unused: bool = False
    acc: str = ""

    expected: ClassVar[dict[str, str]] = {"acc": "names of accounts"}


class Accstatz:
    """The page of one broker."""

    def __init__(self, broker: BrokerView) -> None:
        self._broker = broker

    def page(self, query_string: str) -> Page:
        """Raises HttpError (400)."""
        query = read_query(query_string, AccstatzQuery)
        broker, time = self._broker, self._broker.engine.time
        names = query.acc.split(",") if query.acc else (ACCOUNT, SYSTEM_ACCOUNT)
        shown = [self._clients_account()] if ACCOUNT in names and (query.unused or broker.connections) else []
        # No client is in the system account: see `system` of a user.
        shown += [_account(SYSTEM_ACCOUNT, 0, 0)] if SYSTEM_ACCOUNT in names and query.unused else []
        return json_page(
            {
                "server_id": broker.handshake.server_id,
                "now": timestamp(time.wall_ms(time.now_ms)),
                "account_statz": shown,
            }
        )

    def _clients_account(self) -> dict[str, Any]:
        broker, engine = self._broker, self._broker.engine
        return {
            **_account(ACCOUNT, len(broker.connections), engine.subscribed - engine.unsubscribed),
            "sent": _traffic(engine.pending_work.out_messages, engine.pending_work.out_bytes),
            "received": _traffic(engine.in_messages, engine.in_bytes),
            "slow_consumers": engine.pending_work.slow_consumers,
        }


def _account(name: str, connections: int, subscriptions: int) -> dict[str, Any]:
    """An account without traffic."""
    return {
        "acc": name,
        "name": name,
        "conns": connections,
        "leafnodes": 0,
        "total_conns": connections,
        "num_subscriptions": subscriptions,
        "sent": _traffic(0, 0),
        "received": _traffic(0, 0),
        "slow_consumers": 0,
    }


def _traffic(messages: int, size: int) -> dict[str, Any]:
    """Messages and bytes; all of them of clients."""
    others = dict.fromkeys(("gateways", "routes", "leafs"), NOTHING)
    return {"msgs": messages, "bytes": size, **others}
