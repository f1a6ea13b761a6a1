"""/varz: settings and counters of the broker, in the fields of nats-server's page.

`routes.Monitor` creates it. It reads the broker and the process (CPU time, resident memory). Fields of
nats-server for what mq9fast does not have, such as accounts, routes and JetStream, are left out.
"""

import hashlib
import os
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from mq9fast.config.settings import SETTINGS, Settings
from mq9fast.monitoring.broker_view import BrokerView
from mq9fast.monitoring.page import SYSTEM_ACCOUNT, Page, json_page
from mq9fast.monitoring.units import timestamp, uptime
from mq9fast.network.handshake import NATS_SERVER_VERSION
from mq9fast.version import VERSION

# What nats-server shows as empty objects if it is not configured.
ABSENT = ("gateway", "leaf", "mqtt", "jetstream")
# CPU usage is measured over at least this time.
MIN_CPU_SECONDS = 1.0


class Varz:
    """The page of one broker. `requests` counts the HTTP requests of each path.

    `http_port` is the monitoring port, 0 without one.
    """

    def __init__(self, broker: BrokerView, requests: Mapping[str, int], http_port: int) -> None:
        self._broker = broker
        self._http_port = http_port
        self._requests = requests
        self._cpu = CpuMeter()

    def page(self, _query: str) -> Page:
        """The page has no parameters."""
        websocket = self._broker.handshake.info_overrides.get("websocket")
        shown = {} if websocket is None else {key: websocket[key] for key in ("host", "port")}
        ports = {**{name: {} for name in ABSENT}, "cluster": self._cluster(), "websocket": shown}
        return json_page({**self._settings(), **ports, **self._counters()})

    def _cluster(self) -> dict[str, object]:
        """The name of the cluster, and the addresses at which its other nodes would serve clients."""
        if self._broker.cluster is None:
            return {}
        return {
            "name": self._broker.settings.cluster_name,
            "urls": list(self._broker.handshake.other_urls),
        }

    def _settings(self) -> dict[str, object]:
        broker, settings, handshake = self._broker, self._broker.settings, self._broker.handshake
        return {
            "server_id": handshake.server_id,
            "server_name": handshake.server_name,
            "version": NATS_SERVER_VERSION,
            "mq9fast": VERSION,
            "proto": 1,
            "go": handshake.language,
            "system_account": SYSTEM_ACCOUNT,
            "host": settings.host,
            "port": broker.address[1],
            "auth_required": handshake.auth_required,
            "tls_required": handshake.tls is not None,
            "tls_verify": settings.tls_verify or settings.tls_verify_and_map,
            "max_connections": settings.max_connections,
            "max_subscriptions": settings.max_subscriptions,
            "ping_interval": nanoseconds(settings.ping_interval),
            "ping_max": settings.ping_max,
            "http_host": settings.monitor_host,
            "http_port": 0 if settings.monitor_tls else self._http_port,
            "http_base_path": settings.monitor_base_path or "",
            "https_port": self._http_port if settings.monitor_tls else 0,
            "auth_timeout": settings.auth_timeout,
            "max_control_line": settings.max_control_line,
            "max_payload": settings.max_payload,
            "max_pending": settings.max_pending,
            "tls_timeout": settings.auth_timeout,
            "write_deadline": nanoseconds(settings.write_deadline),
            "config_load_time": timestamp(broker.settings_loaded_ms),
            "config_digest": digest(settings),
        }

    def _counters(self) -> dict[str, object]:
        broker, engine = self._broker, self._broker.engine
        now_ms, wall_ms = engine.time.now_ms, engine.time.wall_ms
        return {
            "start": timestamp(wall_ms(broker.started_ms)),
            "now": timestamp(wall_ms(now_ms)),
            "uptime": uptime((now_ms - broker.started_ms) // 1000),
            "mem": memory_bytes(),
            "cores": os.cpu_count() or 1,
            "gomaxprocs": 1,
            "cpu": self._cpu.percent(),
            "connections": len(broker.connections),
            "total_connections": broker.total_connections,
            "routes": 0,
            "remotes": 0,
            "leafnodes": 0,
            "in_msgs": engine.in_messages,
            "in_bytes": engine.in_bytes,
            "in_client_msgs": engine.in_messages,
            "in_client_bytes": engine.in_bytes,
            "out_msgs": engine.pending_work.out_messages,
            "out_bytes": engine.pending_work.out_bytes,
            "out_client_msgs": engine.pending_work.out_messages,
            "out_client_bytes": engine.pending_work.out_bytes,
            "slow_consumers": engine.pending_work.slow_consumers,
            "slow_consumer_stats": clients_only(engine.pending_work.slow_consumers),
            "stale_connections": engine.pending_work.stale_connections,
            "stale_connection_stats": clients_only(engine.pending_work.stale_connections),
            "stalled_clients": engine.pending_work.stalled_clients,
            "subscriptions": engine.subscribed - engine.unsubscribed,
            "http_req_stats": dict(self._requests),
        }


def digest(settings: Settings) -> str:
    """The SHA-256 digest of the settings, in hex. It tells whether two brokers have the same; of users it
    covers the names. Secrets are left out, because a digest would let anybody try passwords."""
    shown = [(row.name, getattr(settings, row.name)) for row in SETTINGS if not row.secret]
    names = [user.name for user in settings.users]
    return "sha256:" + hashlib.sha256(msgspec.json.encode([shown, names])).hexdigest()


def nanoseconds(seconds: float) -> int:
    """A duration as nats-server's JSON has it."""
    return int(seconds * 1_000_000_000)


def clients_only(count: int) -> dict[str, int]:
    """A count by nats-server's kinds of connection. mq9fast has clients only."""
    return {"clients": count, "routes": 0, "gateways": 0, "leafs": 0}


class CpuMeter:
    """The CPU usage of the process: 100 is one core, fully used."""

    def __init__(self) -> None:
        self._measured_at = time.perf_counter()
        self._cpu_seconds = time.process_time()
        self._percent = 0.0

    def percent(self) -> float:
        """The average usage since the previous call that measured. A call within MIN_CPU_SECONDS returns the
        previous result."""
        now, cpu_seconds = time.perf_counter(), time.process_time()
        if now - self._measured_at >= MIN_CPU_SECONDS:
            self._percent = round(100 * (cpu_seconds - self._cpu_seconds) / (now - self._measured_at), 1)
            self._measured_at, self._cpu_seconds = now, cpu_seconds
        return self._percent


def memory_bytes() -> int:
    """Resident memory now; without /proc, the maximum so far."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        max_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # Kilobytes, except on macOS.
        return max_rss if sys.platform == "darwin" else max_rss * 1024
