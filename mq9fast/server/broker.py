"""A broker in the running event loop: starts and stops its parts in order, and opens its ports.

`server/process.py` runs one; a test may run several. `server/compose.py` builds the parts without sockets.
"""

import asyncio
import contextlib
import functools
import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from mq9fast._core.base.limits import Limits
from mq9fast._core.session import Session
from mq9fast._core.storage.record import CorruptRecord
from mq9fast.auth.passwords import Passwords
from mq9fast.commit.syncer import DiskSyncer, NewSyncer
from mq9fast.config.paths import utf8_path
from mq9fast.config.settings import Settings
from mq9fast.errors import ReadError, StartError, StoreError
from mq9fast.health import Health
from mq9fast.network.connection import Connection, Refusal
from mq9fast.network.connection_record import ClosedConnections, closed_record
from mq9fast.network.handshake import Handshake
from mq9fast.network.listen import BACKLOG, EVERY_ADDRESS, in_url, listen, port_of
from mq9fast.network.message_trace import TraceReports
from mq9fast.network.tls import of_monitoring_port, of_websocket_port, tls_context
from mq9fast.server.client_ports import ClientPorts
from mq9fast.server.compose import compose
from mq9fast.server.housekeeping import Housekeeping
from mq9fast.server.limits import set_limits
from mq9fast.server.timekeeping import Timekeeper
from mq9fast.storage.layout import FIRST_FORMAT_WITH_DEAD_BYTES, check_format
from mq9fast.storage.rocks import RocksStore
from mq9fast.storage.store import OpenStore

if TYPE_CHECKING:
    from mq9fast.monitoring.cluster_view import ClusterView
    from mq9fast.monitoring.monitor import Monitor
    from mq9fast.monitoring.routes import Pages
    from mq9fast.monitoring.system_events import SystemEvents
    from mq9fast.monitoring.system_requests import SystemRequests
    from mq9fast.network.websocket.port import WebSocketPort

log = logging.getLogger("mq9fast.broker")

AnyConnection = TypeVar("AnyConnection", bound=Connection)
AnyRefusal = TypeVar("AnyRefusal", bound=Refusal)

# Bytes of record batches that one call of the thinner reads.
THINNED_BYTES = 256 << 10
# Faults that /healthz shows after a start with accept_loss that found a loss.
LOSS = "loss"
MISSING = "mailboxes"
# How long connections may take to write their output when the broker stops.
STOP_SECONDS = 3.0


class Broker:
    """One broker. `start` raises StartError; `address` is known after it.

    `open_store` opens the store, and `new_syncer` makes what makes it durable. `max_connections` is less than
    the setting if the system allows fewer file descriptors. `max_tables`: how many table files the store may
    have open, -1 for any number. `cluster`: the node of which this is the broker.
    """

    def __init__(
        self,
        settings: Settings,
        open_store: OpenStore = RocksStore,
        *,
        new_syncer: NewSyncer = DiskSyncer,
        max_connections: int | None = None,
        max_tables: int = -1,
        cluster: "ClusterView | None" = None,
    ) -> None:
        self.settings = settings
        self.connections: dict[int, Connection] = {}
        self.address = (settings.host, settings.port)
        self.closed_connections = ClosedConnections()
        self.total_connections = 0
        self.refused_connections = 0
        self.limits = Limits()
        set_limits(
            self.limits, settings, settings.max_connections if max_connections is None else max_connections
        )
        self.max_tables = max_tables
        self.cluster = cluster
        self._open_store = open_store
        self._new_syncer = new_syncer
        self.health = Health()
        self.data_dir = utf8_path(settings.data_dir)
        self.lame_duck = False
        self.serving = False
        self.settings_loaded_ms = time.time_ns() // 1_000_000
        self.started_ms = 0
        self.monitor: Monitor | None = None
        # Reloads the settings; None if nothing can load them again. Raises StartError.
        self.reload_settings: Callable[[], None] | None = None
        self._pages: Pages | None = None
        self._system_requests: SystemRequests | None = None
        self._system_events: SystemEvents | None = None
        self._ports: ClientPorts | None = None
        self._is_paused = False

    @property
    def lost_writes(self) -> int:
        """At least how many acknowledged changes were found to be lost when the broker started."""
        return self._store.lost

    async def start(self) -> None:
        """Open the store, load its mailboxes, and listen."""
        self._tls = tls_context(self.settings)
        self.monitor_tls = tls_context(of_monitoring_port(self.settings))
        has_websocket = self.settings.ws_port >= 0
        self._websocket_tls = tls_context(of_websocket_port(self.settings)) if has_websocket else None
        self._passwords = Passwords()
        self._store = self._open_store(
            self.data_dir, accept_loss=self.settings.accept_loss, max_files=self.max_tables
        )
        if self._store.lost:
            self.health.report(LOSS, f"at least {self._store.lost} acknowledged changes are lost")
        data_dir = self.data_dir
        with contextlib.ExitStack() as undo:
            undo.callback(self._close_store)
            try:
                version = check_format(self._store, data_dir)
                self._store.begin(self.settings.sync)
                parts = compose(self.settings, self.limits, self._store, self.health, self._new_syncer)
                self.engine, self.mailboxes = parts.engine, parts.mailboxes
                self.expirer = parts.expirer
                self.pipeline, self._read_retry = parts.pipeline, parts.read_retry
                undo.callback(self.pipeline.close)
                undo.callback(self._read_retry.stop)
                self._note_missing(self.mailboxes.load(accept_loss=self.settings.accept_loss))
                parts.replacer.load()
                if 0 < version < FIRST_FORMAT_WITH_DEAD_BYTES:
                    self.mailboxes.mailbox_index.queue_all_for_thinning()
                self.timekeeper = Timekeeper(self.engine.time, self.health, data_dir)
                undo.callback(self.timekeeper.close)
                self.timekeeper.begin(self.mailboxes.mailbox_index.newest_ms)
                self.engine.resume_expiry()
            except (ReadError, CorruptRecord) as error:
                raise StartError(
                    f"the data directory {data_dir} holds data that cannot be read: {error}; "
                    "if the disk is well, restore a backup or salvage what can be read"
                ) from error
            except StoreError as error:
                raise StartError(f"the data directory {data_dir} cannot be used: {error}") from error
            undo.callback(self._drop_ports)
            await self._listen()
            undo.pop_all()
        self._store.begin_compacting()
        self.housekeeping = Housekeeping(
            self.engine,
            self.limits,
            self.mailboxes,
            parts.accumulator,
            self.pipeline,
            self.timekeeper,
            parts.deduplicator,
            self.expirer,
            parts.discarder,
            parts.replacer,
            functools.partial(parts.thinner.step, self._store, THINNED_BYTES),
            parts.value_cleaner,
            parts.page_cache_limit,
            parts.compaction,
            self.health,
            self.data_dir,
        )
        self._compaction = parts.compaction
        self.started_ms = self.engine.time.now_ms
        self.serving = True
        await self._start_monitor()
        self.engine.system_requests = self._answer_system_request
        self.handshake.signed_in = self._signed_in

    def _note_missing(self, mailboxes: int) -> None:
        if mailboxes:
            log.error("%d mailboxes are missing: accept_loss is set, and the broker goes on", mailboxes)
            self.health.report(MISSING, f"{mailboxes} mailboxes are missing")

    async def _listen(self) -> None:
        settings = self.settings
        listeners = await listen(self._connect, settings.host, settings.port, backlog=BACKLOG)
        port = port_of(listeners)
        self.address = (settings.host, port)
        self.handshake = Handshake(settings, port, self._tls, self._passwords)
        self.engine.tracer.report = TraceReports(self.handshake.server_identity(settings.host))
        await self._open_ports(listeners)

    async def _open_ports(self, listeners: list[asyncio.Server]) -> None:
        self._ports = ClientPorts(self.settings, self.handshake, listeners, self._connect)
        if self.settings.ws_port >= 0:
            await self._ports.open_websocket(
                self._websocket_tls, self._connection, self._free_connections, self._monitor_url
            )
        await self._ports.start(self._tls)

    def pause(self) -> None:
        """Close all connections, and accept none until `resume`. What was received is committed as usual."""
        self._is_paused = True
        self._stop_listening()
        for connection in list(self.connections.values()):
            connection.close()

    async def resume(self) -> None:
        """Listen on the same port again. Raises StartError if it cannot be opened."""
        await self._open_ports(await listen(self._connect, *self.address, backlog=BACKLOG))
        self._is_paused = False

    @property
    def websocket(self) -> "WebSocketPort | None":
        """The WebSocket port, None without one."""
        return None if self._ports is None else self._ports.websocket

    def tell_other_urls(self, urls: tuple[str, ...]) -> None:
        """Tell all clients, as `connect_urls`, the addresses of other nodes: host:port each."""
        if urls == self.handshake.other_urls:
            return
        self.handshake.other_urls = urls
        self.handshake.fields["connect_urls"] = self.handshake.connect_urls
        for connection in list(self.connections.values()):
            connection.send_info(lame_duck=self.lame_duck)

    def set_tls(self, tls: ssl.SSLContext | None, websocket_tls: ssl.SSLContext | None) -> None:
        """Use these contexts for clients that connect from now on; None turns TLS off. `settings` are the new
        ones already."""
        self._tls, self._websocket_tls = tls, websocket_tls
        self.handshake.tls = tls
        if self._ports is not None and not self._is_paused:
            self._ports.set_tls(self.settings, tls, websocket_tls)

    def _drop_ports(self) -> None:
        self._stop_listening()
        self._ports = None

    def _stop_listening(self) -> None:
        if self._ports is not None:
            self._ports.close()

    @property
    def pages(self) -> "Pages":
        """The pages of monitoring, made when they are first needed."""
        if self._pages is None:
            from mq9fast.monitoring.routes import Pages

            self._pages = Pages(self, self._store, 0 if self.monitor is None else self.monitor.port)
        return self._pages

    def _answer_system_request(
        self, client: Session, subject: bytes, payload: bytes, reply: bytes, header: bytes
    ) -> bool:
        if self._system_requests is None:
            # Imported late, to start faster: few clients send such requests.
            from mq9fast.monitoring.system_requests import SystemRequests

            self._system_requests = SystemRequests(self, self.pages.routes, self._reload)
        return self._system_requests(client, subject, payload, reply, header)

    def _signed_in(self, session: Session) -> None:
        """Tell system users of a client, if there are such users."""
        if self._system_events is None:
            if not any(user.system for user in self.settings.users):
                return
            from mq9fast.monitoring.system_events import SystemEvents

            self._system_events = SystemEvents(self, self.pages.routes)
        connection = self.connections.get(session.cid)
        if connection is not None:
            self._system_events.connected(connection)

    def _reload(self) -> None:
        if self.reload_settings is None:
            raise StartError("this broker runs inside another program, which set its settings")
        self.reload_settings()

    async def _start_monitor(self) -> None:
        """Open the monitoring port. If the default port is in use, the broker starts without it."""
        settings = self.settings
        if settings.monitor_port < 0:
            return
        from mq9fast.monitoring.monitor import Monitor

        monitor = Monitor(lambda: self.pages, settings.monitor_base_path or "")
        tls = self.monitor_tls
        try:
            await monitor.start(settings.monitor_host, settings.monitor_port, tls)
        except StartError as error:
            if "monitor_port" in settings.explicit:
                await self.stop()
                raise
            log.warning("running without monitoring: %s", error)
            return
        self.monitor = monitor
        scheme = "http" if tls is None else "https"
        log.info("monitoring on %s://%s:%d", scheme, in_url(settings.monitor_host), monitor.port)

    def _connect(self) -> Connection | Refusal:
        """A connection of the client port."""
        # A peer in a WebSocket upgrade has a file descriptor already.
        upgrading = len(self.websocket.upgrading) if self.websocket is not None else 0
        return self._connection(Connection, Refusal, upgrading)

    def _connection(
        self, connection_type: type[AnyConnection], refusal_type: type[AnyRefusal], upgrading: int = 0
    ) -> AnyConnection | AnyRefusal:
        if len(self.connections) + upgrading >= self.limits.max_connections:
            self.refused_connections += 1
            return refusal_type(self.handshake)
        self.total_connections += 1
        connection = connection_type(self.engine, self.handshake, self.total_connections, self._closed)
        self.connections[connection.session.cid] = connection
        return connection

    def _free_connections(self) -> int:
        return self.limits.max_connections - len(self.connections)

    def _monitor_url(self, host: str) -> str:
        """The URL of the monitoring port for a browser that reaches this broker as `host`; "" without one."""
        if self.monitor is None:
            return ""
        settings = self.settings
        scheme, bound = "https" if settings.monitor_tls else "http", settings.monitor_host
        address = f"{host if bound in EVERY_ADDRESS else in_url(bound)}:{self.monitor.port}"
        return f"{scheme}://{address}{settings.monitor_base_path or ''}"

    def _closed(self, connection: Connection) -> None:
        if self.connections.pop(connection.session.cid, None) is None:
            return
        record = closed_record(connection, self.engine.time.now_ms)
        self.closed_connections.add(record)
        if self._system_events is not None:
            self._system_events.disconnected(record)

    async def stop(
        self, committed: Callable[[], Awaitable[None]] | None = None, *, abandon: bool = False
    ) -> None:
        """Stop accepting connections, commit and answer what was handled, then close everything.

        `committed` is called once nothing is left to commit. `abandon`: commit and answer nothing more.
        """
        if self._ports is None:
            return
        self.serving = False
        self._stop_listening()
        if self.monitor is not None:
            self.monitor.close()
        if self._system_requests is not None:
            self._system_requests.close()
        if self._system_events is not None:
            self._system_events.stopping("SHUTDOWN")
            self._system_events.close()
        self.housekeeping.stop()
        self._read_retry.stop()
        self._passwords.close()
        for connection in self.connections.values():
            connection.session.stop_reading()
        self.mailboxes.record_no_orphans()
        if abandon:
            self.pipeline.close()
        else:
            await self.pipeline.finish()
        self.timekeeper.close()
        self.engine.pending_work.flush()
        if committed is not None:
            await committed()
        for connection in list(self.connections.values()):
            connection.close()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._all_closed(), STOP_SECONDS)
        self._compaction.wait()
        self._close_store()

    def _close_store(self) -> None:
        """Close the store. Nothing acknowledged is lost if that fails: it is in the store's log."""
        try:
            self._store.close()
        except StoreError as error:
            log.error("the store could not be closed cleanly: %s", error)

    async def _all_closed(self) -> None:
        while self.connections:  # noqa: ASYNC110 (an Event would be kept for this alone)
            await asyncio.sleep(0.01)

    async def enter_lame_duck(self) -> None:
        """Lame duck: accept no connections, send INFO with ldm, and close clients over lame_duck_duration."""
        if self.lame_duck or self._ports is None:
            return
        self.lame_duck = True
        log.info("lame duck: closing %d connections", len(self.connections))
        self._stop_listening()
        if self._system_events is not None:
            self._system_events.stopping("LAMEDUCK")
        connections = list(self.connections.values())
        for connection in connections:
            connection.send_info(lame_duck=True)
        pause = self.settings.lame_duck_duration / max(len(connections), 1)
        for connection in connections:
            await asyncio.sleep(pause)
            connection.session.close_with(b"Server Shutdown")
