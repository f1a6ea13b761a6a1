"""One critical message behind a million normal ones."""

import time
from collections.abc import Callable, Iterator
from itertools import islice

import pytest

from tests.fault.million import MILLION, Million
from tests.support.broker import Broker
from tests.support.mailbox import publish_many
from tests.support.wire_client import Wire, read_messages

# Messages that may already be in the buffers of both sockets when a reader is slow.
MAX_BUFFERED = 10_000


@pytest.fixture
def critical(million: Million) -> Iterator[int]:
    """The id of a critical message, sent after the million normal ones."""
    with Wire(million.broker.port) as wire:
        msg_id = wire.msg("million.critical", "now")["msg_id"]
        yield msg_id
        assert wire.delete("million", msg_id) == {"deleted": True}


def test_new_subscriber_receives_the_critical_message_first(million: Million, critical: int) -> None:
    assert critical >= MILLION
    with Wire(million.broker.port) as wire:
        wire.subscribe("million")
        first, second = islice(read_messages(wire), 2)
        assert (first.msg_id, first.subject) == (critical, "$mq9.AI.MAILBOX.MSG.million.critical")
        assert (second.msg_id, second.subject) == (0, "$mq9.AI.MAILBOX.MSG.million")


def test_queue_group_and_list_get_the_critical_message_first(million: Million, critical: int) -> None:
    with Wire(million.broker.port) as wire:
        wire.subscribe("million", queue="workers")
        assert next(read_messages(wire)).msg_id == critical
    with Wire(million.broker.port) as wire:
        messages = wire.list("million", limit=2)["messages"]
        assert [message["msg_id"] for message in messages] == [critical, 0]


def test_critical_message_overtakes_the_replay_of_a_slow_reader(million: Million) -> None:
    with Wire(million.broker.port, receive_bytes=65536) as reader, Wire(million.broker.port) as sender:
        reader.subscribe("million")
        messages = read_messages(reader)
        assert [message.msg_id for message in islice(messages, 1000)] == list(range(1000))
        time.sleep(0.2)
        critical = sender.msg("million.critical", "now")["msg_id"]
        urgent = sender.msg("million.urgent", "soon")["msg_id"]
        before = []
        while (message := next(messages)).msg_id != critical:
            before.append(message.msg_id)
            assert len(before) < MAX_BUFFERED
        assert urgent not in before
        assert next(messages).msg_id == urgent
        assert [message.msg_id for message in islice(messages, 1000)] == list(
            range(1000 + len(before), 2000 + len(before))
        )
        for msg_id in (critical, urgent):
            assert sender.delete("million", msg_id) == {"deleted": True}


def test_critical_message_overtakes_messages_behind_a_full_socket(
    start_broker: Callable[..., Broker],
) -> None:
    broker = start_broker("--sync", "never")
    with Wire(broker.port, receive_bytes=65536) as reader, Wire(broker.port) as sender:
        sender.create(name="live")
        reader.subscribe("live")
        reader.ping()
        publish_many(sender, "live", 200_000, b"x" * 100)
        critical = sender.msg("live.critical", "now")["msg_id"]
        order = [message.msg_id for message in islice(read_messages(reader), 200_001)]
        assert order.index(critical) < MAX_BUFFERED
        order.remove(critical)
        assert order == list(range(200_000))
