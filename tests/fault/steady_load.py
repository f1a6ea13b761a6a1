"""Senders and a subscriber that go on while storage fails: exactly what was acknowledged is stored."""

import threading
import time

from tests.support.broker import Broker
from tests.support.load import Subscriber
from tests.support.mailbox import list_all, read_stored
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import MAILBOX, Message, Wire, read_messages

ADDRESSES = ("one", "two")
# A sender keeps what it sent. A test that waits in vain must not fill the memory.
MAX_BYTES = 256 << 20


class Sender(threading.Thread):
    """Sends different messages, WINDOW at a time, and records the reply to each."""

    WINDOW = 32

    def __init__(self, port: int, name: str, payload_bytes: int) -> None:
        super().__init__(name=name)
        self.port = port
        self.filling = b"x" * payload_bytes
        self.acknowledged: dict[tuple[str, int], bytes] = {}
        self.refused: set[bytes] = set()
        self.errors: list[object] = []
        self.ended = False
        self._unanswered: dict[str, tuple[str, bytes]] = {}
        self._sent = 0

    def run(self) -> None:
        try:
            with Wire(self.port) as wire:
                wire.send(f"SUB {self.name}.* 1\r\n")
                answers = read_messages(wire)
                while self._unanswered or not self.ended:
                    while len(self._unanswered) < self.WINDOW and not self.ended:
                        self._send(wire)
                    self._record(next(answers))
        except (OSError, EOFError) as error:
            if not self.ended:
                self.errors.append(error)
        except BaseException as error:
            self.errors.append(error)
            raise

    def _send(self, wire: Wire) -> None:
        self._sent += 1
        reply = f"{self.name}.{self._sent}"
        address = ADDRESSES[self._sent % 2]
        payload = f"{reply} ".encode() + self.filling
        self._unanswered[reply] = (address, payload)
        wire.pub(f"{MAILBOX}MSG.{address}{('', '.urgent', '.critical')[self._sent % 3]}", payload, reply)

    def _record(self, answer: Message) -> None:
        address, payload = self._unanswered.pop(answer.subject)
        if answer.json.get("code") == "store_unavailable":
            self.refused.add(payload)
            time.sleep(0.001)
            return
        assert len(self.acknowledged) * len(self.filling) < MAX_BYTES, "a test waits in vain"
        key = (address, answer.json["msg_id"])
        assert key not in self.acknowledged, key
        self.acknowledged[key] = payload

    def finish(self) -> None:
        self.ended = True
        self.join(WAIT_SECONDS)
        assert not self.is_alive()
        assert not self.errors, self.errors


class Load:
    """Two senders and a subscriber."""

    def __init__(self, broker: Broker, payload_bytes: int = 100) -> None:
        self.broker = broker
        with Wire(broker.port) as wire:
            for address in ADDRESSES:
                wire.create(name=address)
        self.senders = [Sender(broker.port, f"s{n}", payload_bytes) for n in range(2)]
        self.subscriber = Subscriber(broker.port, list(ADDRESSES))
        for thread in (self.subscriber, *self.senders):
            thread.start()
        self.wait_until_accepted()

    def wait_until_accepted(self) -> None:
        """Wait until the broker acknowledges further messages of every sender."""
        before = [len(sender.acknowledged) for sender in self.senders]
        wait_until(
            lambda: all(
                len(sender.acknowledged) > count + 50
                for sender, count in zip(self.senders, before, strict=True)
            )
        )

    def wait_until_refused(self) -> None:
        """Wait until the broker has refused a message."""
        wait_until(lambda: any(sender.refused for sender in self.senders))

    def check(self) -> None:
        """Check that exactly the acknowledged messages are stored, before and after a kill."""
        for sender in self.senders:
            sender.finish()
        acknowledged = self.senders[0].acknowledged | self.senders[1].acknowledged
        refused = self.senders[0].refused | self.senders[1].refused
        assert refused
        for _ in range(2):
            for address in ADDRESSES:
                wanted = {msg_id: payload for (at, msg_id), payload in acknowledged.items() if at == address}
                assert read_stored(self.broker.port, address) == wanted
                with Wire(self.broker.port) as wire:
                    assert wire.list(address, limit=1)["total"] == len(wanted)
                    assert list_all(wire, address) == {key: text.decode() for key, text in wanted.items()}
            wait_until(lambda: len(self.subscriber.received) >= len(acknowledged))
            assert self.subscriber.received == acknowledged
            assert not refused & set(self.subscriber.received.values())
            self.broker.restart(kill=True)
        wait_until(lambda: "the store accepts writes" in self.broker.log.read_text())
