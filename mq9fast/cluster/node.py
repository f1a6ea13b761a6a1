"""One node of a cluster: follows the log as a standby, becomes the owner, and runs a broker while it is.

    starting ──► seeding ──► standby ──► taking over ──► owner ──► handing over (SIGTERM)
       ▲            ▲          ▲  │           │            │
       │            └──────────┘  │           └─ deposed ◄─┘
       └── failed: the store is opened again, or copied from another node ◄─┘

The process `cluster/process.py` calls `run`. A standby listens for no clients: the broker is made for each
time that this node is the owner.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from nats.aio.client import Client

from mq9fast.cluster.bucket_leader import keep_leader_away
from mq9fast.cluster.cluster_status import ClusterStatus
from mq9fast.cluster.election import Election
from mq9fast.cluster.jetstream_log import JetStreamLog
from mq9fast.cluster.jetstream_registry import JetStreamRegistry
from mq9fast.cluster.lag import Lag
from mq9fast.cluster.lease import Lease
from mq9fast.cluster.lease_guard import LeaseGuard
from mq9fast.cluster.log import LogError, LogRegressed
from mq9fast.cluster.log_checks import REPLICAS, check_log_servers, check_replicas
from mq9fast.cluster.log_syncer import LogSyncer
from mq9fast.cluster.nats_connection import NATS_ERRORS, connect_to_log, log_access
from mq9fast.cluster.presence import FAR_RECORDS, TELL_SECONDS, NodeState, Presence, copy_source
from mq9fast.cluster.record import NewerFormat
from mq9fast.cluster.registry import RegistryError
from mq9fast.cluster.replica import Replica
from mq9fast.cluster.standby_monitor import StandbyMonitor
from mq9fast.cluster.tasks import end_tasks
from mq9fast.cluster.transfer_protocol import TransferError
from mq9fast.cluster.transfer_server import TransferServer
from mq9fast.cluster.transfer_tls import copying_tls, serving_tls
from mq9fast.cluster.trimming import KEEP_SECONDS, Trimmer
from mq9fast.cluster.upkeep import Upkeep
from mq9fast.commit.healing import WRITES
from mq9fast.config.paths import utf8_path
from mq9fast.config.settings import Settings
from mq9fast.errors import StartError, StoreError
from mq9fast.health import Health
from mq9fast.server.broker import Broker
from mq9fast.server.reload import reload
from mq9fast.storage.store import Store
from mq9fast.storage.unlogged import is_damage
from mq9fast.version import VERSION

log = logging.getLogger("mq9fast.cluster")

T = TypeVar("T")

# A node whose store or log failed opens them again after this time.
RETRY_SECONDS = 1.0
# An owner that stops waits so long for the log to take what clients sent.
HANDOVER_SECONDS = 10.0
LOG_REGRESSED = "log_regressed"
NEWER_FORMAT = "newer_format"
STORE = "replica"


class Stopped(Exception):  # noqa: N818
    """The node is to stop."""


class ServingError(StartError):
    """The broker of the owner did not start, such as for a port that another process uses."""


class Node:
    """A node. `broker`: the broker of the owner, None on a standby.

    `serving`, `not_serving` and `standing_by` are called when the node begins and ends to serve clients, and
    when it follows the log.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        max_connections: int,
        max_tables: int,
        serving: Callable[[], None],
        not_serving: Callable[[], None],
        standing_by: Callable[[], None],
    ) -> None:
        assert settings.node_name is not None
        self.settings = settings
        self.health = Health()
        self.broker: Broker | None = None
        self.replica: Replica | None = None
        self.lease: Lease | None = None
        self._former: str | None = None
        self.takeovers = 0
        self.state = NodeState(node=settings.node_name, instance=secrets.token_hex(8), version=VERSION)
        self._max_connections = max_connections
        self._max_tables = max_tables
        self._serving, self._not_serving, self._standing_by = serving, not_serving, standing_by
        self.presence: Presence | None = None
        self._client: Client | None = None
        self._transfers: TransferServer | None = None
        self._lag = Lag()
        self._tasks: list[asyncio.Task[None]] = []
        self._trimmer: Trimmer | None = None
        self._data_dir = utf8_path(settings.data_dir)
        self._deposed = asyncio.Event()
        self._has_followed = self._is_damaged = False
        self._stop = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Be a node until `stop` is set. Raises StartError if the settings, or what they name, are wrong."""
        self._stop = stop
        try:
            await self._prepare()
            while True:
                await self._live_once()
        except Stopped:
            log.info("node %s stops", self.state.node)
        finally:
            await self._close()

    async def _prepare(self) -> None:
        """Connect to the log, and open the ports that a node has in every state."""
        settings = self.settings
        self.status_page = ClusterStatus(self)
        self._monitor = StandbyMonitor(settings, self.status_page, self.health, lambda: self.state.role)
        await self._monitor.open()
        await self._until_stop(check_log_servers(settings))
        self._client = await self._until_stop(connect_to_log(settings))
        self._registry = JetStreamRegistry(self._client, settings.cluster_name)
        await self._until_stop(self._create_registry())
        self.presence = Presence(self._client, settings.cluster_name, self.state, self._tell_clients)
        await self.presence.start()
        self._transfers = TransferServer(
            self.state.node, settings.cluster_secret or "", self._data_dir, self._checkpoint
        )
        await self._transfers.start(settings.cluster_host, settings.cluster_port, serving_tls(settings))
        host = settings.cluster_host
        self.state.transfer = settings.cluster_advertise or f"{host}:{self._transfers.port}"
        self.state.client_urls = settings.advertised[:1] or (f"{settings.host}:{settings.port}",)
        upkeep = Upkeep(lambda: self.replica, lambda: self._trimmer, self._nodes)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._tell()), loop.create_task(upkeep.run())]

    async def _create_registry(self) -> None:
        while True:
            try:
                await self._registry.create()
                return
            except RegistryError as error:
                log.info("waiting for the servers of the log: %s", error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _tell(self) -> None:
        while True:
            self._update_state()
            assert self.presence is not None
            await self.presence.tell()
            await asyncio.sleep(TELL_SECONDS)

    def _nodes(self) -> list[NodeState]:
        return [self.state] if self.presence is None else self.presence.nodes

    def _update_state(self) -> None:
        state, replica = self.state, self.replica
        health = self.health if self.broker is None else self.broker.health
        state.faults = tuple(health.reasons)
        if replica is not None:
            state.applied, state.durable = replica.applied, replica.durable
            end = max(each.applied for each in self._nodes())
            state.lag_seconds = self._lag.seconds(replica.applied, end)
        state.log_full = self.broker is not None and health.has(WRITES)

    def _tell_clients(self) -> None:
        """Tell clients the addresses of the other nodes that are there."""
        if self.broker is not None and self.broker.serving:
            others = [each for each in self._nodes() if each is not self.state]
            self.broker.tell_other_urls(tuple(url for each in others for url in each.client_urls))

    async def _until_stop(self, work: Coroutine[Any, Any, T]) -> T:
        """Do the work, unless the node is to stop: then it is cancelled. Raises Stopped."""
        loop = asyncio.get_running_loop()
        task, stop = loop.create_task(work), loop.create_task(self._stop.wait())
        try:
            await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise Stopped
            return task.result()
        finally:
            await end_tasks(task, stop)

    async def _live_once(self) -> None:
        """Open the store, follow the log until this node is the owner, and own until it is not any more."""
        records: JetStreamLog | None = None
        try:
            if not self.health.has(STORE):
                self._set_role("starting")
            records = JetStreamLog(log_access(self.settings), f"{self.settings.cluster_name}_LOG")
            await self._until_stop(self._open_log(records))
            secret = self.settings.cluster_secret or ""
            tls = copying_tls(self.settings)
            self.replica = replica = Replica(self._data_dir, self._max_tables, secret, self._source, tls)
            await self._until_stop(self._open_store(records, replica))
            lease = await self._until_stop(self._stand_by(replica))
            await self._own(records, replica, lease)
        except (LogRegressed, NewerFormat) as error:
            name = LOG_REGRESSED if isinstance(error, LogRegressed) else NEWER_FORMAT
            self.health.report(name, f"{name}: {error}")
            log.critical("%s: %s; this node stops taking part: see docs/cluster.md", name, error)
            self._set_role("stopped")
            await self._stop.wait()
            raise Stopped from None
        except (LogError, StoreError, StartError, TransferError, OSError) as error:
            if isinstance(error, StartError) and not self._has_followed and not is_damage(error):
                raise
            await self._note_failure(error)
        finally:
            if self.replica is not None:
                await self.replica.close()
            self.replica = None
            if records is not None:
                await records.close()

    async def _open_store(self, records: JetStreamLog, replica: Replica) -> None:
        """Open the store, and follow with it. One that failed before has to write something first."""
        await replica.open(records, lambda: self._set_role("seeding"), is_damaged=self._is_damaged)
        if self.health.has(STORE):
            await replica.prove()
        self._has_followed, self._is_damaged = True, False
        self.health.clear(STORE)

    async def _note_failure(self, error: Exception) -> None:
        """The store is not in use now: tell why, and wait before it is opened again."""
        self._is_damaged = self._is_damaged or is_damage(error)
        cannot_serve = isinstance(error, ServingError)
        reason = str(error) if cannot_serve else f"the store does not follow the log: {error}"
        if reason not in self.health.reasons:
            log.error("%s", reason)
        self.health.report(STORE, reason)
        self._set_role("failed")
        await self._until_stop(asyncio.sleep(RETRY_SECONDS))

    async def _open_log(self, records: JetStreamLog) -> None:
        """Connect to the log, and make its stream if this is a new cluster."""
        await records.connect()
        while True:
            try:
                await records.create(replicas=REPLICAS)
                assert self._client is not None
                await check_replicas(self._client, f"{self.settings.cluster_name}_LOG")
                return
            except (LogError, *NATS_ERRORS) as error:
                log.info("waiting for the log: %s", error)
                await asyncio.sleep(RETRY_SECONDS)

    def _set_role(self, role: str) -> None:
        if role != self.state.role:
            log.info("node %s: %s", self.state.node, role)
        self.state.role = role

    def _source(self) -> str | None:
        """The address of a node whose store can be copied. None for none."""
        found = copy_source(each for each in self._nodes() if each is not self.state)
        return None if found is None else found.transfer

    async def _checkpoint(self, path: Path) -> None:
        if self.replica is None or self.state.role not in {"standby", "owner"}:
            raise TransferError(f"node {self.state.node} has no store that can be copied now")
        await self.replica.checkpoint(path)

    async def _stand_by(self, replica: Replica) -> Lease:
        """Follow the log until this node is the owner. Raises what ends the following."""
        self._set_role("standby")
        self._standing_by()
        self._deposed.clear()
        election = Election(self._registry, self.state.node, self.state.instance, self._is_caught_up)
        loop = asyncio.get_running_loop()
        winning = loop.create_task(election.win(self._deposed.set))
        following = loop.create_task(replica.follow())
        try:
            await asyncio.wait((winning, following), return_when=asyncio.FIRST_COMPLETED)
        finally:
            has_failed = following.done()
            await end_tasks(winning, following)
        if not has_failed:
            self._former = election.former
            return winning.result()
        if not winning.cancelled() and winning.exception() is None:
            # It has won in the same moment. Nobody else could own the log while the lease is renewed.
            await winning.result().release()
        following.result()
        raise AssertionError("following ends with an exception")

    def _is_caught_up(self) -> bool:
        """Whether no other standby is far ahead of this one."""
        self._update_state()
        standbys = [each.applied for each in self._nodes() if each.role == "standby"]
        return self.state.applied + FAR_RECORDS >= max(standbys, default=0)

    async def _own(self, records: JetStreamLog, replica: Replica, lease: Lease) -> None:
        """Be the owner until the node stops, or another one is the owner."""
        self.lease, self.state.epoch = lease, lease.record.epoch
        self._set_role("taking over")
        try:
            epoch, node = lease.record.epoch, lease.record.node
            store = await self._until_stop(replica.take_over(records, epoch, node))

            syncers: list[LogSyncer] = []

            def new_syncer(loop: asyncio.AbstractEventLoop, _store: Store) -> LogSyncer:
                may_read, lost = lease.may_read, self._append_failed
                syncers.append(LogSyncer(loop, store, broker.health, may_read=may_read, lost=lost))
                return syncers[0]

            broker = Broker(
                self.settings,
                lambda *_, **__: store,
                new_syncer=new_syncer,
                max_connections=self._max_connections,
                max_tables=self._max_tables,
                cluster=self.status_page,
            )
            self._monitor.close()
            replica.give()
            await self._start(broker)
            self.broker = broker
            self.takeovers += 1
            self._set_role("owner")
            self._trimmer = Trimmer(records, self._nodes, self.settings.cluster_copies, KEEP_SECONDS)
            self._tell_clients()
            self._serving()
            await self._until_owning_ends(replica, LeaseGuard(lease, syncers[0], broker))
        finally:
            await self._end_owning(lease, replica)
        if replica.failure is not None and not self._deposed.is_set() and not self._stop.is_set():
            raise replica.failure

    @staticmethod
    async def _start(broker: Broker) -> None:
        try:
            await broker.start()
        except StartError as error:
            raise ServingError(f"this node cannot serve: {error}") from error

    def _append_failed(self, error: LogError) -> None:
        """The log refuses what this node appends."""
        log.warning("this node is not the owner any more: %s", error)
        self._deposed.set()

    async def _until_owning_ends(self, replica: Replica, guard: LeaseGuard) -> None:
        """Wait for the end of the node, for another owner, or for a failure of the store or the port. Raises
        LogRegressed if the log is gone."""
        loop = asyncio.get_running_loop()
        events = (self._deposed.wait(), self._stop.wait(), replica.broken.wait(), guard.run())
        waiting = [loop.create_task(each) for each in (*events, self._until_another_can_read(replica))]
        gone = loop.create_task(replica.until_log_is_gone())
        waiting.append(gone)
        moving = loop.create_task(keep_leader_away(self._registry, self.state.node, self._former))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                # Nothing can be handed over.
                self._deposed.set()
                gone.result()
        finally:
            await end_tasks(*waiting, moving)

    async def _until_another_can_read(self, replica: Replica) -> bool:
        """Wait until the store could not be read, and another node has one that may be better."""
        await replica.unreadable.wait()
        while not any(each.role == "standby" and not each.faults for each in self._nodes()):  # noqa: ASYNC110
            await asyncio.sleep(TELL_SECONDS)
        return True

    async def _end_owning(self, lease: Lease, replica: Replica) -> None:
        """Hand over if the node stops or its store fails, and drop everything if it was deposed."""
        broker, self.broker, self._trimmer = self.broker, None, None
        self._not_serving()
        if self.replica is not None:
            await self.replica.end_use()
        if self._deposed.is_set() or broker is None:
            self._set_role("deposed")
            if broker is not None:
                await broker.stop(abandon=True)
            if self._deposed.is_set():
                await lease.close()
            else:
                await lease.release()
        elif replica.failure is not None and not self._stop.is_set():
            self._set_role("handing over")
            log.error("this node hands over, because of its store: %s", replica.failure)
            await broker.stop(lease.release, abandon=True)
        else:
            self._set_role("handing over")
            try:
                await asyncio.wait_for(broker.stop(lease.release), HANDOVER_SECONDS)
            except asyncio.TimeoutError:
                log.error("the log does not answer: clients do not learn what became of their last requests")
                await broker.stop(abandon=True)
                await lease.close()
        self.lease = None
        if not self._stop.is_set():
            await self._monitor.open()

    def reload(self, settings: Settings) -> None:
        """Apply new settings, now or once this node is the owner. Raises StartError."""
        if self.broker is not None:
            reload(self.broker, settings)
        self.settings = settings

    async def _close(self) -> None:
        self._monitor.close()
        if self._client is None:
            return
        for task in self._tasks:
            task.cancel()
        if self._transfers is not None:
            self._transfers.close()
        await self._client.close()
