"""The monitoring port: /healthz, /varz and /metrics over HTTP. Nothing in the broker waits for it or knows it."""

import asyncio
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, cast

import h11
import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from mq9fast.errors import StartError
from mq9fast.handshake import PROTOCOL_VERSION

if TYPE_CHECKING:
    from mq9fast.server import Broker

JSON = "application/json"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
# A monitoring client that does not finish its request, or does not read the answer, is cut off.
REQUEST_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a broker's connections have moved so far, those closed included."""

    in_messages: int
    in_bytes: int
    out_messages: int
    out_bytes: int
    subscriptions: int


def traffic(broker: "Broker") -> Traffic:
    """Add up the connections of a broker."""
    core = broker.core
    sessions = [connection.session for connection in broker.connections.values()]
    return Traffic(
        core.in_messages,
        core.in_bytes,
        core.closed_out_messages + sum(session.out_messages for session in sessions),
        core.closed_out_bytes + sum(session.out_bytes for session in sessions),
        sum(len(session.subscriptions) for session in sessions),
    )


class BrokerCollector:
    """A broker's figures for Prometheus, read when they are asked for. No label grows with what users create."""

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker

    def collect(self) -> Iterable[Metric]:
        """Every metric, counters since the start of the broker."""
        broker, core = self._broker, self._broker.core
        directory, moved = broker.mailboxes.directory, traffic(self._broker)
        for name, help_text, value in (
            ("mq9fast_in_messages", "Messages received from clients", moved.in_messages),
            ("mq9fast_in_bytes", "Bytes of messages received from clients", moved.in_bytes),
            ("mq9fast_out_messages", "Messages sent to clients", moved.out_messages),
            ("mq9fast_out_bytes", "Bytes of messages sent to clients", moved.out_bytes),
            ("mq9fast_connections_opened", "Connections accepted", broker.total_connections),
            ("mq9fast_connections_refused", "Connections past max_connections", broker.refused_connections),
            ("mq9fast_slow_consumers", "Clients cut off because they did not read", core.agenda.slow_consumers),
            ("mq9fast_mailbox_messages_accepted", "Messages stored", core.intake.accepted),
            ("mq9fast_mailbox_messages_deleted", "Messages deleted by clients", core.intake.deleted),
            ("mq9fast_mailbox_messages_dropped", "Refused without anybody to tell", core.intake.dropped),
            ("mq9fast_mailboxes_expired", "Mailboxes whose TTL ran out", broker.mailboxes.expired),
            ("mq9fast_turns_failed", "Batches the store did not take", broker.committer.failed_turns),
        ):
            yield CounterMetricFamily(name, help_text, value=value)
        refused = CounterMetricFamily("mq9fast_limit_exceeded", "Requests past a limit", labels=["limit"])
        refused.add_metric(["mailboxes"], broker.mailboxes.over_limit)
        refused.add_metric(["messages"], core.intake.over_limit)
        yield refused
        for name, help_text, value in (
            ("mq9fast_connections", "Connections open now", len(broker.connections)),
            ("mq9fast_subscriptions", "Subscriptions now", moved.subscriptions),
            ("mq9fast_mailboxes", "Mailboxes living now", directory.live_count),
            ("mq9fast_mailbox_messages", "Messages stored now", directory.message_count),
            ("mq9fast_mailbox_bytes", "Bytes of headers and payloads stored now", directory.size_bytes),
            ("mq9fast_store_healthy", "1 while the store takes writes", int(broker.committer.healthy)),
        ):
            yield GaugeMetricFamily(name, help_text, value=value)


class Monitor:
    """The HTTP port of one broker. `start` raises StartError if it cannot listen."""

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self._started = time.time()
        self._registry = CollectorRegistry()
        self._registry.register(BrokerCollector(broker))
        self._server: asyncio.Server | None = None
        self.routes: dict[str, Callable[[], tuple[int, str, bytes]]] = {
            "/healthz": self._healthz,
            "/varz": self._varz,
            "/metrics": self._metrics,
        }

    async def start(self, host: str, port: int) -> None:
        """Listen on `host` and `port` (0 for a free one)."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: MonitorConnection(self.routes), host, port)
        except OSError as error:
            raise StartError(f"the monitoring port {port} of {host} is in use or not to be had") from error

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None
        return cast(int, self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    def _healthz(self) -> tuple[int, str, bytes]:
        if self._broker.committer.healthy:
            return 200, JSON, b'{"status":"ok"}'
        return 503, JSON, b'{"status":"unavailable","error":"the store does not take writes"}'

    def _varz(self) -> tuple[int, str, bytes]:
        """nats-server's names, as far as they mean something here."""
        broker, settings = self._broker, self._broker.settings
        now, moved = time.time(), traffic(self._broker)
        body = {
            "server_id": broker.handshake.server_id,
            "server_name": broker.handshake.server_name,
            "version": PROTOCOL_VERSION,
            "proto": 1,
            "host": settings.host,
            "port": broker.address[1],
            "max_connections": settings.max_connections,
            "max_payload": settings.max_payload,
            "max_pending": settings.max_pending,
            "max_control_line": settings.max_control_line,
            "auth_required": broker.handshake.auth_required,
            "tls_required": broker.handshake.tls is not None,
            "start": _timestamp(self._started),
            "now": _timestamp(now),
            "uptime": f"{int(now - self._started)}s",
            "mem": _memory_bytes(),
            "cores": os.cpu_count(),
            "connections": len(broker.connections),
            "total_connections": broker.total_connections,
            "subscriptions": moved.subscriptions,
            "in_msgs": moved.in_messages,
            "out_msgs": moved.out_messages,
            "in_bytes": moved.in_bytes,
            "out_bytes": moved.out_bytes,
            "slow_consumers": broker.core.agenda.slow_consumers,
        }
        return 200, JSON, msgspec.json.encode(body)

    def _metrics(self) -> tuple[int, str, bytes]:
        return 200, PROMETHEUS, generate_latest(self._registry)


class MonitorConnection(asyncio.Protocol):
    """One HTTP connection: a request, an answer, closed."""

    def __init__(self, routes: dict[str, Callable[[], tuple[int, str, bytes]]]) -> None:
        self._routes = routes
        self._http = h11.Connection(h11.SERVER)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(REQUEST_SECONDS, self._transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        if self._transport.is_closing():
            return
        try:
            self._http.receive_data(data)
            while (event := self._http.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Request):
                    self._request = event
                elif isinstance(event, h11.EndOfMessage):
                    self._answer(self._request)
                    return
                elif event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                    self._transport.close()
                    return
        except h11.RemoteProtocolError as error:
            self._send(error.error_status_hint, "text/plain", b"This is no HTTP request.\n")

    def _answer(self, request: h11.Request) -> None:
        path = request.target.partition(b"?")[0].decode("latin-1")
        route = self._routes.get(path)
        if request.method not in {b"GET", b"HEAD"}:
            self._send(405, "text/plain", b"Only GET is taken here.\n")
        elif route is None:
            self._send(404, "text/plain", f"There are {', '.join(self._routes)}.\n".encode())
        else:
            self._send(*route())

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        headers = [("content-type", content_type), ("content-length", str(len(body))), ("connection", "close")]
        if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            # h11 leaves out the body of an answer to HEAD, and says so by giving no bytes for it.
            for event in (h11.Response(status_code=status, headers=headers), h11.Data(body), h11.EndOfMessage()):
                self._transport.write(self._http.send(event) or b"")
        self._transport.close()


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat().replace("+00:00", "Z")


def _memory_bytes() -> int:
    """Resident memory: now where /proc tells, else the most there was."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
