"""Corrupt values in the store: everything else stays readable, and no client waits forever."""

from collections.abc import Callable

import pytest

from tests.support.broker import Broker
from tests.support.data_directory import overwrite
from tests.support.wire_client import Wire

StartBroker = Callable[..., Broker]


@pytest.fixture
def broker(start_broker: StartBroker) -> Broker:
    """A broker with one message in each of two mailboxes. The message of `bad` is corrupt."""
    broker = start_broker()
    with Wire(broker.port) as wire:
        for address in ("bad", "good"):
            wire.create(name=address, desc=f"described as {address}")
            wire.msg(address, f"message of {address}")
    broker.stop()
    overwrite(broker.data_dir, b"m", b"message of bad", b"garbage")
    broker.start()
    return broker


def test_corrupt_message_does_not_block_other_mailboxes(broker: Broker) -> None:
    with Wire(broker.port) as stuck, Wire(broker.port) as wire:
        stuck.subscribe("bad")
        stuck.ping()
        wire.subscribe("good")
        assert wire.message().payload == b"message of good"
        assert wire.msg("good", "more") == {"msg_id": 1}
        assert wire.message().payload == b"more"
        stuck.subscribe("good", "2")
        assert [message.payload for message in stuck.messages(2)] == [b"message of good", b"more"]


def test_commands_on_a_corrupt_message_get_an_error_reply(broker: Broker) -> None:
    with Wire(broker.port) as wire:
        assert wire.list("bad")["code"] == "store_unavailable"
        assert wire.delete("bad", 0)["code"] == "store_unavailable"
        assert wire.msg("bad", "more") == {"msg_id": 1}
        assert wire.list("good")["total"] == 1


def test_start_refuses_a_corrupt_mailbox(broker: Broker) -> None:
    broker.stop()
    overwrite(broker.data_dir, b"b", b"described as bad", b"garbage")
    with pytest.raises(AssertionError, match="cannot be read: a stored value of 7 bytes"):
        broker.start()
