"""A client that is served all the time: each message of it arrives, and each of its MSGs is acknowledged."""

import threading
import time

from tests.support.waiting import WAIT_SECONDS
from tests.support.wire_client import Wire

PAUSE_SECONDS = 0.05


class Witness(threading.Thread):
    """`served`: how often it was. `longest`: seconds of the slowest time. `failure`: why it ended early."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.served, self.longest, self.failure = 0, 0.0, ""
        self._port = port
        self._over = threading.Event()

    def run(self) -> None:
        try:
            with Wire(self._port) as wire:
                wire.create(name="witness", ttl=60)
                wire.sub("witness.plain", "7")
                while not self._over.wait(PAUSE_SECONDS):
                    self._check(wire)
                wire.create(name="witness", ttl=1)
        except Exception as error:
            self.failure = repr(error)

    def _check(self, wire: Wire) -> None:
        began, text = time.monotonic(), b"%d" % self.served
        wire.pub("witness.plain", text)
        assert wire.message(WAIT_SECONDS).payload == text
        assert wire.msg("witness", text) == {"msg_id": self.served}
        assert wire.delete("witness", self.served) == {"deleted": True}
        self.served += 1
        self.longest = max(self.longest, time.monotonic() - began)

    def end(self) -> None:
        """Stop, and raise AssertionError if the witness was not served."""
        self._over.set()
        self.join(WAIT_SECONDS)
        assert not self.failure and not self.is_alive(), self.failure or "the witness waits"
