"""A broker whose settings a test reloads."""

import signal
from collections.abc import Callable
from pathlib import Path

from tests.support.broker import Broker
from tests.support.waiting import wait_until
from tests.support.wire_client import Wire

StartBroker = Callable[..., Broker]


class ConfiguredBroker:
    """A broker with a configuration file that tests rewrite."""

    def __init__(self, start_broker: StartBroker, path: Path, text: str, *flags: str) -> None:
        self.path = path
        path.write_text(text)
        self.broker = start_broker("--config", str(path), *flags)

    @property
    def port(self) -> int:
        return self.broker.port

    def reload(self, text: str, line: str = "settings reloaded") -> None:
        """Write the file, send SIGHUP and wait until the log has the line."""
        before = self.broker.log.read_text().count(line)
        self.path.write_text(text)
        self.broker.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.broker.log.read_text().count(line) > before)

    def user(self, name: str) -> Wire:
        wire = Wire(self.port, {"user": name, "pass": name})
        wire.ping()
        return wire
