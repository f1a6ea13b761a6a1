"""A broker inside another program: `mq9fast.Broker`, in the program's event loop or in a thread of its own.

It changes nothing of the process: no signal handlers, no limits, no log handlers, no environment variables.
Errors are exceptions.
"""

import os
import tempfile
from types import TracebackType
from typing import TYPE_CHECKING, Any

from mq9fast.config.settings import Settings
from mq9fast.config.sources import check_settings
from mq9fast.errors import SettingsError, StartError
from mq9fast.loop_thread import LoopThread
from mq9fast.network.descriptors import allowed_connections, max_open_tables
from mq9fast.network.listen import EVERY_ADDRESS, in_url
from mq9fast.server.broker import Broker as ServerBroker
from mq9fast.server.keywords import SettingsKeywords

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

# Where they differ from the defaults of the settings, so that brokers do not meet.
DEFAULTS: dict[str, Any] = {"port": 0, "monitor_port": -1}


class Broker:
    """A broker that runs while a `with` or `async with` block does.

    `settings`: the settings by name, such as `data_dir="data"`. Without `data_dir` the broker uses a
    temporary directory and removes it at the end. Without `port` it takes a free one; without `monitor_port`
    it has no monitoring port. The program's logging decides what is logged.

    `async with` runs it in the running event loop, `with` in a thread with a loop of its own. Several brokers
    may run in one process.

    Raises StartError if it cannot start, and SettingsError, a StartError, if a setting is not valid. When the
    block ends, it commits and answers what it has accepted, then closes its connections.
    """

    def __init__(self, **settings: "Unpack[SettingsKeywords]") -> None:
        self._given = {name: _plain(value) for name, value in settings.items()}
        self._settings = check_settings({**DEFAULTS, **self._given})
        if self._settings.cluster_log is not None:
            raise SettingsError("cluster_log: a node of a cluster is a process of its own")
        self._broker: ServerBroker | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._thread: LoopThread | None = None

    @property
    def port(self) -> int:
        """The port for NATS clients. Raises RuntimeError outside of the block."""
        return self._running.address[1]

    @property
    def url(self) -> str:
        """The URL for clients on this machine, such as nats://127.0.0.1:4222; tls:// with a certificate."""
        scheme = "nats" if self._settings.tls_cert is None else "tls"
        return f"{scheme}://{_reachable(self._settings.host)}:{self.port}"

    @property
    def ws_url(self) -> str | None:
        """The URL for WebSocket clients on this machine; None without `ws_port`."""
        websocket = self._running.handshake.info_overrides.get("websocket")
        if websocket is None:
            return None
        return f"{'wss' if websocket['tls_required'] else 'ws'}://{_reachable(self._settings.ws_host)}:{websocket['port']}"

    @property
    def console_url(self) -> str | None:
        """The URL of the console on this machine; None without `ws_port`, or if `console` is false."""
        url = self.ws_url
        return None if url is None or not self._settings.console else f"http{url.removeprefix('ws')}/"

    @property
    def monitor_url(self) -> str | None:
        """The URL of the monitoring pages on this machine; None without `monitor_port`."""
        monitor = self._running.monitor
        if monitor is None:
            return None
        scheme, path = "https" if self._settings.monitor_tls else "http", self._settings.monitor_base_path
        return f"{scheme}://{_reachable(self._settings.monitor_host)}:{monitor.port}{path or ''}"

    @property
    def data_dir(self) -> str:
        """The directory of the store. Raises RuntimeError outside of the block."""
        return self._running.settings.data_dir

    @property
    def _running(self) -> ServerBroker:
        if self._broker is None:
            raise RuntimeError("the broker is not running: use it in a with block")
        return self._broker

    async def __aenter__(self) -> "Self":
        if self._broker is not None:
            raise RuntimeError("the broker is running already")
        # The program's own limit of open files stays as it is.
        connections = allowed_connections(self._settings.max_connections)
        self._broker = ServerBroker(
            self._with_directory(), max_connections=connections, max_tables=max_open_tables(connections)
        )
        try:
            await self._broker.start()
        except BaseException:
            self._forget()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._running.stop()
        finally:
            self._forget()

    def __enter__(self) -> "Self":
        if self._broker is not None:
            raise RuntimeError("the broker is running already")
        thread = LoopThread("mq9fast")
        try:
            thread.run(self.__aenter__())
        except BaseException:
            thread.close()
            raise
        self._thread = thread
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._thread is None:
            raise RuntimeError("the broker was not started by a with block")
        thread, self._thread = self._thread, None
        try:
            thread.run(self.__aexit__(kind, error, traceback))
        finally:
            thread.close()

    def _with_directory(self) -> Settings:
        if "data_dir" in self._given:
            return self._settings
        try:
            self._temporary = tempfile.TemporaryDirectory(prefix="mq9fast-", ignore_cleanup_errors=True)
        except OSError as error:
            raise StartError(f"no temporary directory can be made: {error}") from error
        return check_settings({**DEFAULTS, **self._given, "data_dir": self._temporary.name})

    def _forget(self) -> None:
        self._broker = None
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in EVERY_ADDRESS else in_url(host)


def _plain(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value
