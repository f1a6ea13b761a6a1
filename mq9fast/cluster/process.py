"""Runs one node of a cluster as a process, as `server/process.py` runs a broker of its own.

`__main__.py` calls `run_node` if the setting `cluster_log` is there.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Callable

from mq9fast.cluster.node import Node
from mq9fast.config.settings import Settings
from mq9fast.errors import StartError
from mq9fast.log import flush_log, print_line, reopen_log
from mq9fast.network.descriptors import max_open_tables, raise_descriptor_limit
from mq9fast.network.listen import in_url
from mq9fast.server.process_files import ProcessFiles
from mq9fast.server.systemd import ServiceManager
from mq9fast.version import VERSION

log = logging.getLogger("mq9fast.server")


async def serve_node(settings: Settings, load: Callable[[], Settings], manager: ServiceManager) -> None:
    """Run a node until a signal stops it, and tell `manager` its state. Raises StartError.

    SIGTERM, SIGINT and SIGUSR2 hand over and stop; a second SIGINT ends the process at once. SIGHUP reloads
    the settings, SIGUSR1 reopens the log file.
    """
    loop = asyncio.get_running_loop()
    max_connections = raise_descriptor_limit(settings.max_connections)
    stop = asyncio.Event()
    files: list[ProcessFiles] = []

    def interrupt() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    def hang_up() -> None:
        manager.reloading()
        try:
            node.reload(load())
        except StartError as error:
            log.error("reload failed, settings unchanged: %s", error)
        finally:
            manager.ready()

    def serving() -> None:
        assert node.broker is not None
        files.append(ProcessFiles(node.broker))
        host, port = node.broker.address
        print_line(f"mq9fast {VERSION} listening on nats://{in_url(host)}:{port}")

    def not_serving() -> None:
        while files:
            files.pop().remove()

    def standing_by() -> None:
        flush_log()
        print_line(f"mq9fast {VERSION} standing by as node {settings.node_name}")
        manager.ready()

    node = Node(
        settings,
        max_connections=max_connections,
        max_tables=max_open_tables(max_connections),
        serving=serving,
        not_serving=not_serving,
        standing_by=standing_by,
    )
    for number, handler in (
        (signal.SIGTERM, stop.set),
        (signal.SIGUSR2, stop.set),
        (signal.SIGINT, interrupt),
        (signal.SIGHUP, hang_up),
        (signal.SIGUSR1, reopen_log),
    ):
        loop.add_signal_handler(number, handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    try:
        await node.run(stop)
    finally:
        manager.stopping()
        not_serving()
        manager.close()
