"""JetStream's publish to a mailbox: a message with a Nats-Expected- header is refused and not stored."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.nats_py import connect
from tests.support.wire_client import MAILBOX, Wire

REFUSED = {
    "error": "A mailbox is not a JetStream stream: Nats-Expected- headers do not apply. "
    "Use publish or request instead of js.publish.",
    "code": "bad_request",
}


def block(*lines: bytes) -> bytes:
    return b"NATS/1.0\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


@pytest.mark.parametrize(
    "header",
    [
        block(b"Nats-Expected-Stream: ORDERS"),
        block(b"Nats-Expected-Last-Msg-Id: 1"),
        block(b"Nats-Expected-Last-Sequence: 0"),
        block(b"Nats-Expected-Last-Subject-Sequence:0"),
        block(b"NATS-EXPECTED-STREAM: ORDERS"),
        block(b"nats-expected-anything: 1"),
        block(b"A: b", b"Nats-Msg-Id: 1", b"nats-Expected-Last-Sequence: 5", b"C: d"),
        block(b"Mq9-From: forged", b"Nats-Expected-Stream: ORDERS"),
    ],
    ids=repr,
)
def test_message_with_an_expected_header_is_refused(wire: Wire, address: str, header: bytes) -> None:
    wire.create(name=address)
    assert wire.msg(address, b"order", header) == REFUSED
    assert wire.msg(address + ".critical", b"order", header) == REFUSED
    assert wire.list(address)["total"] == 0
    assert wire.msg(address) == {"msg_id": 0}


@pytest.mark.parametrize(
    "header",
    [
        block(b"Nats-Msg-Id: 1"),
        block(b"Nats-TTL: 60"),
        block(b"Nats-Rollup: all"),
        block(b"Nats-Expected: 1"),
        block(b"X-Nats-Expected-Stream: ORDERS"),
        block(b"A: Nats-Expected-Stream"),
    ],
    ids=repr,
)
def test_other_headers_are_stored(wire: Wire, address: str, header: bytes) -> None:
    wire.create(name=address)
    assert wire.msg(address, b"order", header) == {"msg_id": 0}


def test_message_with_an_expected_header_and_no_reply_is_dropped_and_counted(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "data", "--monitor-port", "0")
    try:
        wire = Wire(broker.port)
        wire.create(name="orders")
        before = broker.metric("mq9fast_mailbox_messages_dropped_total")
        wire.pub(f"{MAILBOX}MSG.orders", b"order", header=block(b"Nats-Expected-Stream: ORDERS"))
        assert wire.list("orders")["total"] == 0
        assert broker.metric("mq9fast_mailbox_messages_dropped_total") == before + 1
        wire.close()
    finally:
        broker.end()


def test_auto_create_ignores_a_message_with_an_expected_header(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "data", "--auto-create")
    try:
        wire = Wire(broker.port)
        assert wire.msg("orders", b"order", block(b"Nats-Expected-Stream: ORDERS")) == REFUSED
        assert wire.list("orders")["code"] == "mailbox_not_found"
        wire.close()
    finally:
        broker.end()


def test_js_publish_of_nats_py(broker: Broker, address: str) -> None:
    """The broker refuses expectations. It stores other messages, but nats-py cannot parse the reply."""
    replies = []

    async def publish() -> None:
        client = await connect(broker.url)
        request = client.request

        async def recording_request(*args: Any, **options: Any) -> Any:
            replies.append(await request(*args, **options))
            return replies[-1]

        client.request = recording_request  # type: ignore[method-assign]
        await request(f"{MAILBOX}CREATE", json.dumps({"name": address}).encode())
        for options in ({"stream": "ORDERS"}, {"headers": {"Nats-Expected-Last-Sequence": "0"}}, {}):
            with pytest.raises((TypeError, KeyError)):
                await client.jetstream().publish(f"{MAILBOX}MSG.{address}", b"order", **options)
        await client.close()

    asyncio.run(publish())
    assert [json.loads(reply.data) for reply in replies] == [REFUSED, REFUSED, {"msg_id": 0}]
    with Wire(broker.port) as wire:
        assert [message["payload"] for message in wire.list(address)["messages"]] == ["order"]
