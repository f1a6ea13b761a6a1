"""A broker in this process, on a store that fails as a test says."""

import asyncio
import threading
from pathlib import Path

from mq9fast.config.settings import Settings
from mq9fast.server.broker import Broker
from tests.support.faults.store import Faults
from tests.support.waiting import WAIT_SECONDS


class BrokerOnFaultyStore:
    """A broker in a thread of this process, on a store with `faults`."""

    def __init__(self, path: Path) -> None:
        self.faults = Faults()
        self._path = path
        self._serving = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        assert self._serving.wait(WAIT_SECONDS)

    async def _run(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        settings = Settings(port=0, monitor_port=-1, data_dir=str(self._path))
        broker = Broker(settings, self.faults.open)
        await broker.start()
        self.port = broker.address[1]
        self._serving.set()
        await self._ended.wait()
        await broker.stop()

    def end(self) -> None:
        self.faults.may_sync.set()
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(WAIT_SECONDS)
