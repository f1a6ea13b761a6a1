"""A critical message behind normal ones that wait for a slow reader."""

from collections.abc import Callable
from itertools import islice

from tests.support.broker import Broker
from tests.support.mailbox import publish_many
from tests.support.wire_client import Wire, read_messages

# Messages that may already be in the buffers of both sockets.
MAX_BUFFERED = 10_000


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
