"""Runs one broker as a process: its event loop, its signals, and the line on standard output.

`__main__.py` calls `run`. Only this module changes the process: signal handlers, the limit of open files, the
switch interval of threads, the free memory that it keeps, the collection of garbage.
"""

import asyncio
import gc
import ipaddress
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from functools import partial

from mq9fast._core.base.heap_memory import keep_freed_memory
from mq9fast.config.permission_warnings import permission_warnings
from mq9fast.config.settings import Settings
from mq9fast.errors import StartError
from mq9fast.log import flush_log, print_line, reopen_log
from mq9fast.network.descriptors import max_open_tables, raise_descriptor_limit
from mq9fast.network.listen import in_url
from mq9fast.server.broker import Broker
from mq9fast.server.process_files import ProcessFiles
from mq9fast.server.reload import reload
from mq9fast.server.systemd import ServiceManager
from mq9fast.version import VERSION

log = logging.getLogger("mq9fast.server")

# A thread waits at most this long for the GIL. Python's default of 5 ms would delay the end of each fsync.
SWITCH_SECONDS = 0.0005


async def serve(settings: Settings, load: Callable[[], Settings], manager: ServiceManager) -> None:
    """Run a broker until a signal stops it, and tell `manager` its state. Raises StartError.

    SIGTERM and SIGINT stop it; a second SIGINT ends the process at once. SIGUSR2 starts lame duck mode, and
    then stops it. SIGHUP reloads the settings, which `load` returns; `load` raises SettingsError. SIGUSR1
    reopens the log file.
    """
    loop = asyncio.get_running_loop()
    max_connections = raise_descriptor_limit(settings.max_connections)
    broker = Broker(settings, max_connections=max_connections, max_tables=max_open_tables(max_connections))
    stop = asyncio.Event()
    lame_duck = asyncio.Event()
    reload_after_start = asyncio.Event()

    def interrupt() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    def hang_up() -> None:
        if broker.serving:
            _reload(broker, load, manager)
        else:
            reload_after_start.set()

    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, interrupt)
    loop.add_signal_handler(signal.SIGUSR2, lame_duck.set)
    loop.add_signal_handler(signal.SIGHUP, hang_up)
    loop.add_signal_handler(signal.SIGUSR1, reopen_log)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    broker.reload_settings = partial(_load_and_apply, broker, load, manager)
    await broker.start()
    files = await _write_files(broker)
    if reload_after_start.is_set():
        _reload(broker, load, manager)
    # If max_connections is not set, its default is no promise, and fewer connections are worth no warning.
    if max_connections < settings.max_connections and "max_connections" in settings.explicit:
        log.warning(
            "max_connections is %d, but the limit of open files allows only %d: raise `ulimit -n`",
            settings.max_connections,
            max_connections,
        )
    host, port = broker.address
    _warn_of_permissions(settings)
    if not broker.handshake.auth_required:
        _warn_of_open_ports(broker)
    flush_log()
    if not print_line(f"mq9fast {VERSION} listening on nats://{in_url(host)}:{port}"):
        log.warning("listening on nats://%s:%d: standard output could not be written", in_url(host), port)
    # What a start made stays: no collection has to look at it again.
    gc.freeze()
    gc.enable()
    manager.ready()
    lame_duck_task = loop.create_task(_run_lame_duck(lame_duck, broker, stop, manager))
    await stop.wait()
    lame_duck_task.cancel()
    manager.stopping()
    files.remove()
    await broker.stop()
    manager.close()


async def _write_files(broker: Broker) -> ProcessFiles:
    """Write the files about the process. If that fails, stop the broker, and raise StartError."""
    try:
        return ProcessFiles(broker)
    except StartError:
        await broker.stop()
        raise


def _reload(broker: Broker, load: Callable[[], Settings], manager: ServiceManager) -> None:
    try:
        _load_and_apply(broker, load, manager)
    except StartError as error:
        log.error("reload failed, settings unchanged: %s", error)


def _load_and_apply(broker: Broker, load: Callable[[], Settings], manager: ServiceManager) -> None:
    """Reload the settings. Raises StartError, and changes nothing, if that is not possible."""
    manager.reloading()
    try:
        settings = load()
        reload(broker, settings)
        _warn_of_permissions(settings)
    finally:
        manager.ready()


async def _run_lame_duck(
    lame_duck: asyncio.Event, broker: Broker, stop: asyncio.Event, manager: ServiceManager
) -> None:
    await lame_duck.wait()
    manager.stopping()
    await broker.enter_lame_duck()
    stop.set()


def _warn_of_permissions(settings: Settings) -> None:
    for sentence in permission_warnings(settings):
        log.warning("%s", sentence)


def _warn_of_open_ports(broker: Broker) -> None:
    hosts = {broker.settings.host} | ({broker.settings.ws_host} if broker.websocket else set())
    for host in sorted(hosts):
        if not _is_loopback(host):
            log.warning(
                "listening on %s without authentication: any client that reaches the port may connect", host
            )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


Serve = Callable[[Settings, Callable[[], Settings], ServiceManager], Coroutine[None, None, None]]


def run(
    settings: Settings, load: Callable[[], Settings], manager: ServiceManager, serve: Serve = serve
) -> int:
    """Run a broker in a new event loop, of uvloop if it is installed. Returns the exit status of the process.

    `serve`: runs a broker, or a node of a cluster, until a signal stops it. `load`: returns the current
    settings, for a reload; raises SettingsError. `manager`: what started the process. Raises StartError.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    keep_freed_memory()
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve(settings, load, manager))
    else:
        uvloop.run(serve(settings, load, manager))
    return 0
