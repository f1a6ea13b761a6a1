"""While a client sends one message at a time, the event loop writes large values itself."""

from pathlib import Path

import pytest

import mq9fast
from mq9fast.storage.rocks import RocksStore
from mq9fast.storage.store import Batch
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire

# Enough for the thread.
LARGE = b"PUB %bMSG.box acks 300000\r\n%b\r\n" % (MAILBOX.encode(), bytes(300_000))
REQUEST = b"PUB %bMSG.box acks 1\r\nx\r\n" % MAILBOX.encode()


def test_loop_writes_beside_a_client_that_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, begin_write = [], RocksStore.begin_write

    def noting_begin_write(store: RocksStore, batch: Batch) -> bool:
        begun.append(begin_write(store, batch))
        return begun[-1]

    monkeypatch.setattr(RocksStore, "begin_write", noting_begin_write)
    with (
        mq9fast.Broker(data_dir=tmp_path / "data", sync="interval") as broker,
        Wire(broker.port) as asker,
        Wire(broker.port) as sender,
    ):
        asker.create(name="box")

        def is_begun(*requests: bytes) -> bool:
            """Whether a thread writes a large message that is sent after these requests of another client."""
            begun.clear()
            for wire, data in [*((asker, each) for each in requests), (sender, LARGE)]:
                wire.socket.sendall(data)
                wire.message()
            return any(begun)

        for wire in (asker, sender):
            wire.sub("acks", "acks")
            wire.ping()
        assert is_begun()
        # On a slow machine the message may come too late after the requests.
        wait_until(lambda: not is_begun(REQUEST, REQUEST))
        assert sender.list("box", limit=1)["total"] > 2
