"""A broker with all its ports, and what it holds: memory, descriptors, threads, connections, mailboxes."""

import random
import re
import signal
import sys
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

from mq9fast.network.connection_record import MAX_CLOSED
from mq9fast.storage.rocks_reader import MIN_FLUSH_BYTES
from tests.support.broker import Broker
from tests.support.certificates import Certificates
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import MAILBOX, Wire

# The broker gives memory back when it has written nothing for four seconds.
IDLE_SECONDS = 6.0
STEP_BYTES = 256 << 10
SMALL_CACHE = (sys.executable, "-m", "tests.soak.small_cache")
# Mailboxes that several clients use at once.
NAMES = [f"soak.{number}" for number in range(6)]
# Small enough to be stored in RocksDB itself.
FLUSHED = b"f" * 1000
GAUGES = ("connections", "subscriptions", "mailboxes", "mailbox_messages", "mailbox_bytes", "remembered_ids")


class Sample(NamedTuple):
    """What the broker holds when nobody is connected."""

    rss_bytes: int
    descriptors: int
    threads: int
    gauges: dict[str, int]


class Site:
    """A broker on free ports: plain and TLS on one, WebSocket with compression, monitoring. A reload changes
    its settings."""

    def __init__(self, directory: Path, certificates: Certificates) -> None:
        self.config = directory / "mq9.toml"
        self._write_config(1)
        tls = ("--tls-cert", certificates.cert_path("server"), "--tls-key", certificates.key_path("server"))
        flags = ("--config", str(self.config), "--monitor-port", "0", "--ws-port", "0", "--ws-compression")
        self.broker = Broker(
            directory / "data", *flags, *tls, "--allow-non-tls", "--sync", "interval", command=SMALL_CACHE
        )
        self.tls = certificates.client_context()
        self.port, self.ws_port = self.broker.port, self.broker.ws_port
        self.monitor_url = self.broker.monitor_url
        self.monitor_port = int(self.monitor_url.rpartition(":")[2])

    def fill_closed_connections(self) -> None:
        """The broker keeps what it knows of the connections that closed last, up to MAX_CLOSED of them, with
        their subscriptions."""
        for _ in range(MAX_CLOSED):
            with Wire(self.port) as wire:
                wire.send("".join(f"SUB closed.{number} {number}\r\n" for number in range(3)))
                wire.ping()

    def _write_config(self, number: int) -> None:
        self.config.write_text(f"max_subscriptions = {1000 + number}\nmax_mailboxes = {5000 + number}\n")

    def reload(self, chance: random.Random) -> None:
        self._write_config(chance.randrange(1000))
        self.broker.process.send_signal(signal.SIGHUP)

    def sample(self) -> Sample:
        """Wait until all clients have left and what was theirs is gone, then look."""
        wait_until(lambda: self._gauges()["connections"] == 0, WAIT_SECONDS)
        with Wire(self.port) as wire:
            while remove_mailboxes(wire):
                time.sleep(1.5)
        self._wait_until_empty()
        with Wire(self.port) as wire:
            flush_memtables(wire)
        self._wait_until_empty()
        rss_bytes = self._idle_memory()
        threads = len(list(Path(f"/proc/{self.broker.process.pid}/task").iterdir()))
        return Sample(rss_bytes, self.broker.open_descriptors, threads, self._gauges())

    def _wait_until_empty(self) -> None:
        wait_until(lambda: set(self._gauges().values()) == {0}, WAIT_SECONDS)

    def _idle_memory(self) -> int:
        """The memory when it has not fallen for IDLE_SECONDS: purges go on after the clients left."""
        lowest, since = self.broker.rss_bytes, time.monotonic()
        while time.monotonic() - since < IDLE_SECONDS:
            time.sleep(0.2)
            if self.broker.rss_bytes < lowest - STEP_BYTES:
                lowest, since = self.broker.rss_bytes, time.monotonic()
        return min(lowest, self.broker.rss_bytes)

    def _gauges(self) -> dict[str, int]:
        with urllib.request.urlopen(f"{self.monitor_url}/metrics", timeout=WAIT_SECONDS) as answer:
            text = answer.read().decode()
        found = dict(re.findall(r"^mq9fast_(\w+) (\S+)$", text, re.MULTILINE))
        return {name: int(float(found[name])) for name in GAUGES}


def flush_memtables(wire: Wire) -> None:
    """Have the store flush its memtables when it is idle: it keeps those that are small in memory."""
    wire.create(name="flushed", ttl=1)
    for _ in range(MIN_FLUSH_BYTES // len(FLUSHED) + 100):
        wire.pub(f"{MAILBOX}MSG.flushed", FLUSHED)
    wire.ping()


def remove_mailboxes(wire: Wire) -> list[str]:
    """Let mailboxes expire, with nothing sent to others for it. Returns those that are still there."""
    left = [name for name in NAMES if "total" in wire.list(name, limit=1)]
    for name in left:
        for public in (True, False):
            wire.create(name=name, public=public, ttl=1, dead_letter="", receipts_to="")
    return left
