"""Receipts of an expired mailbox while the broker is killed: one for each message."""

import json
import time
from collections.abc import Callable

from tests.support.broker import Broker
from tests.support.mailbox import list_all, publish_many
from tests.support.waiting import wait_until
from tests.support.wire_client import Wire

MESSAGES = 20_000


def test_each_message_has_one_receipt_after_kills(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker("--sync", "never")
    with Wire(broker.port) as wire:
        wire.create(name="log")
        wire.create(name="box", receipts_to="log", ttl=1)
        publish_many(wire, "box", MESSAGES, b"task")
    for _ in range(4):
        time.sleep(0.4)
        broker.restart(kill=True)
    with Wire(broker.port) as wire:
        wait_until(lambda: wire.list("log", limit=1)["total"] >= MESSAGES)
        found = [json.loads(text) for text in list_all(wire, "log").values()]
    assert sorted(receipt["msg_id"] for receipt in found) == list(range(MESSAGES))
    assert {receipt["event"] for receipt in found} == {"expired"}
