"""The process around a broker: its event loop, its signals and the line that says it serves."""

import asyncio
import ipaddress
import logging
import os
import signal
import sys
from collections.abc import Callable

from mq9fast.config.permission_warnings import permission_warnings
from mq9fast.config.settings import Settings
from mq9fast.errors import StartError
from mq9fast.log import flush_log, print_line
from mq9fast.network.descriptors import max_open_tables, raise_descriptor_limit
from mq9fast.network.listen import in_url
from mq9fast.server.broker import Broker
from mq9fast.server.reload import reload
from mq9fast.version import VERSION

log = logging.getLogger("mq9fast.server")

# A thread that made the log durable gets the interpreter back at least this soon.
SWITCH_SECONDS = 0.0005


async def serve(settings: Settings, load: Callable[[], Settings]) -> None:
    """Run a broker until a signal ends it (SIGTERM, SIGINT: stop; SIGUSR2: lame duck, then stop).

    On SIGHUP, `load` is asked for the settings of now.
    """
    loop = asyncio.get_running_loop()
    max_connections = raise_descriptor_limit(settings.max_connections)
    broker = Broker(settings, max_connections=max_connections, max_tables=max_open_tables(max_connections))
    ending = asyncio.Event()
    asked = asyncio.Event()
    early = asyncio.Event()

    def end() -> None:
        if ending.is_set():
            os._exit(1)
        ending.set()

    def hang_up() -> None:
        if broker.serving:
            _reload(broker, load)
        else:
            early.set()

    loop.add_signal_handler(signal.SIGTERM, ending.set)
    loop.add_signal_handler(signal.SIGINT, end)
    loop.add_signal_handler(signal.SIGUSR2, asked.set)
    loop.add_signal_handler(signal.SIGHUP, hang_up)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    await broker.start()
    if early.is_set():
        _reload(broker, load)
    # The default is what systems may allow, not what anybody asked for.
    if max_connections < settings.max_connections and "max_connections" in settings.explicit:
        log.warning("file descriptors leave room for %d connections", max_connections)
    host, port = broker.address
    _warn_of_permissions(settings)
    if not broker.handshake.auth_required:
        _warn_of_open_ports(broker)
    flush_log()
    if not print_line(f"mq9fast {VERSION} listening on nats://{in_url(host)}:{port}"):
        log.warning("listening on nats://%s:%d: standard output could not be written", in_url(host), port)
    lame_duck = loop.create_task(_lame_duck_when(asked, broker, ending))
    await ending.wait()
    lame_duck.cancel()
    await broker.stop()


def _reload(broker: Broker, load: Callable[[], Settings]) -> None:
    try:
        settings = load()
        reload(broker, settings)
    except StartError as error:
        log.error("reload failed, settings unchanged: %s", error)
    else:
        _warn_of_permissions(settings)


async def _lame_duck_when(asked: asyncio.Event, broker: Broker, ending: asyncio.Event) -> None:
    await asked.wait()
    await broker.enter_lame_duck()
    ending.set()


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


def run(settings: Settings, load: Callable[[], Settings]) -> int:
    """Run a broker in an event loop of its own, uvloop's where there is one; returns the exit status.

    `load` gives the settings anew, or raises SettingsError. Raises StartError.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve(settings, load))
    else:
        uvloop.run(serve(settings, load))
    return 0
