"""The monitoring port: /healthz, /varz and /metrics over HTTP. Nothing in the broker waits for it."""

import asyncio
import os
import resource
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, cast

import h11
import msgspec
from prometheus_client import CollectorRegistry, generate_latest

from mq9fast.errors import StartError
from mq9fast.handshake import PROTOCOL_VERSION
from mq9fast.metrics import BrokerCollector, traffic

if TYPE_CHECKING:
    from mq9fast.broker import Broker

JSON = "application/json"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
# A monitoring client that does not finish its request, or does not read the answer, is cut off.
REQUEST_SECONDS = 10.0


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
        self._wants_body = True

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
                    self._wants_body = event.method != b"HEAD"
                    self._answer(event)
                    return
                if isinstance(event, h11.ConnectionClosed):
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
        headers = [
            ("content-type", content_type),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            parts = [self._http.send(h11.Response(status_code=status, headers=headers))]
            if self._wants_body:
                parts.append(self._http.send(h11.Data(body)))
            parts.append(self._http.send(h11.EndOfMessage()))
            self._transport.write(b"".join(part for part in parts if part))
        self._transport.close()


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat().replace("+00:00", "Z")


def _memory_bytes() -> int:
    """Resident memory: now where /proc tells, else the most there was."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
