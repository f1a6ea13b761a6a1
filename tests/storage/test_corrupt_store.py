"""Corrupt values in the store. A corrupt message makes no other message unreadable, and its mailbox still
answers. A corrupt mailbox record stops the start of the broker.
"""

from collections.abc import Callable

import pytest

from mq9fast.storage import layout
from tests.support.broker import Broker, start_error
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
    overwrite(broker.data_dir, layout.MESSAGES, b"message of bad", b"garbage")
    broker.start()
    return broker


def test_reader_of_a_corrupt_message_still_receives_from_another_mailbox(broker: Broker) -> None:
    with Wire(broker.port) as bad_reader, Wire(broker.port) as wire:
        bad_reader.subscribe("bad")
        bad_reader.ping()
        wire.subscribe("good")
        assert wire.message().payload == b"message of good"
        assert wire.msg("good", "more") == {"msg_id": 1}
        assert wire.message().payload == b"more"
        bad_reader.subscribe("good", "2")
        assert [message.payload for message in bad_reader.messages(2)] == [b"message of good", b"more"]


def test_commands_that_read_a_corrupt_message_get_an_error_reply(broker: Broker) -> None:
    with Wire(broker.port) as wire:
        assert wire.list("bad")["code"] == "store_unavailable"
        assert wire.delete("bad", 0)["code"] == "store_unavailable"
        assert wire.msg("bad", "more") == {"msg_id": 1}
        assert wire.list("good")["total"] == 1


def test_broker_does_not_start_with_a_corrupt_mailbox_record(broker: Broker) -> None:
    broker.stop()
    overwrite(broker.data_dir, layout.MAILBOXES, b"described as bad", b"garbage")
    sentence = start_error("--data-dir", broker.data_dir)
    assert "cannot be read: a stored value of 7 bytes" in sentence
