"""Tells system users about clients and the broker, as nats-server tells its system account.

A system user that subscribes to `$SYS.ACCOUNT.$G.CONNECT`, `.DISCONNECT`, or to `CLIENT.AUTH.ERR`, `STATSZ`,
`LAMEDUCK` or `SHUTDOWN` below `$SYS.SERVER.{server_id}`, gets a JSON message for each event. Others who
subscribe get nothing. `server/broker.py` creates a `SystemEvents` if a user is a system user.
"""

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any

import msgspec

from mq9fast._core.session import Session
from mq9fast.monitoring.broker_view import BrokerView
from mq9fast.monitoring.page import ACCOUNT, Route
from mq9fast.monitoring.system_account import server_info, server_stats
from mq9fast.monitoring.units import timestamp
from mq9fast.network.connection import Connection
from mq9fast.network.connection_record import ConnectionRecord, record_of

# As often as nats-server: more often at first, for who waits for a new broker.
FIRST_STATS_SECONDS = 0.25
STATS_SECONDS = 10.0
TYPE = "io.nats.server.advisory.v1.client_{}"
# The reasons of ends that are a failed sign-in.
FAILED = {"Authentication Failure", "Authentication Timeout"}


class SystemEvents:
    """Publishes the events of one broker. `routes`: the pages, of which the statistics are made."""

    def __init__(self, broker: BrokerView, routes: Mapping[str, Route]) -> None:
        self._broker = broker
        self._routes = routes
        self._sequence = 0
        # The clients whose CONNECT was told: their end is told too.
        self._told: set[int] = set()
        self._server = f"$SYS.SERVER.{broker.handshake.server_id}."
        self._pause = FIRST_STATS_SECONDS
        self._timer = asyncio.get_running_loop().call_later(self._pause, self._send_stats)

    def connected(self, connection: Connection) -> None:
        """A client signed in. Later calls for the same client do nothing."""
        record = record_of(connection)
        if record.cid not in self._told:
            self._told.add(record.cid)
            self._publish_event(f"$SYS.ACCOUNT.{ACCOUNT}.CONNECT", "connect", record)

    def disconnected(self, record: ConnectionRecord) -> None:
        """A connection ended."""
        if record.cid in self._told:
            self._told.remove(record.cid)
            self._publish_event(f"$SYS.ACCOUNT.{ACCOUNT}.DISCONNECT", "disconnect", record)
        elif record.reason in FAILED:
            self._publish_event(f"{self._server}CLIENT.AUTH.ERR", "disconnect", record)

    def stopping(self, event: str) -> None:
        """The broker begins to stop: `event` is "LAMEDUCK" or "SHUTDOWN"."""
        self._publish(self._server + event, None)

    def close(self) -> None:
        """Send no more statistics."""
        self._timer.cancel()

    def _send_stats(self) -> None:
        self._pause = min(2 * self._pause, STATS_SECONDS)
        self._timer = asyncio.get_running_loop().call_later(self._pause, self._send_stats)
        if self._receivers(self._server + "STATSZ"):
            self._publish(self._server + "STATSZ", {"statsz": server_stats(self._broker, self._routes)})

    def _receivers(self, subject: str) -> list[Session]:
        """The system users that subscribe to `subject`, each once."""
        plain, groups = self._broker.engine.router.sublist.matches(subject.encode())
        clients = {it.client.cid: it.client for part in (plain, *groups) for it in part}
        return [it for it in clients.values() if isinstance(it, Session) and it.identity.system]

    def _publish_event(self, subject: str, kind: str, record: ConnectionRecord) -> None:
        if not self._receivers(subject):
            return
        time = self._broker.engine.time
        event: dict[str, Any] = {
            "type": TYPE.format(kind),
            "id": secrets.token_urlsafe(16),
            "timestamp": timestamp(time.wall_ms(time.now_ms)),
        }
        client: dict[str, Any] = {
            "start": timestamp(time.wall_ms(record.started_ms)),
            "host": record.ip,
            "id": record.cid,
            "acc": ACCOUNT,
            "user": record.user,
            "name": record.name,
            "lang": record.lang,
            "ver": record.version,
            "name_tag": ACCOUNT,
            "kind": "Client",
            "client_type": record.type,
        }
        if kind == "disconnect":
            client |= {"rtt": record.rtt_ns, "stop": timestamp(time.wall_ms(record.stopped_ms))}
            # As on nats-server, from the client's point of view.
            event["sent"] = {"msgs": record.in_messages, "bytes": record.in_bytes}
            event["received"] = {"msgs": record.out_messages, "bytes": record.out_bytes}
            event["reason"] = record.reason
        event["client"] = {name: it for name, it in client.items() if it}
        self._publish(subject, event)

    def _publish(self, subject: str, body: dict[str, Any] | None) -> None:
        """Send `body` with the part that describes the broker, or only that part."""
        self._sequence += 1
        server = server_info(self._broker, self._sequence)
        text = msgspec.json.encode(server if body is None else {**body, "server": server})
        for client in self._receivers(subject):
            self._broker.engine.router.reply(client, subject.encode(), text)
