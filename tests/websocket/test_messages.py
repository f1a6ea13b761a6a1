"""Messages over WebSocket: of mailboxes, of plain subjects, and of every size."""

import pytest

from tests.support.broker import Broker
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.websocket_client import WebWire
from tests.support.wire_client import Wire


def test_many_deliveries_share_a_websocket_message(ws_broker: Broker, web: WebWire) -> None:
    with Wire(ws_broker.port) as sender:
        web.sub("many")
        web.ping()
        before = web.socket.messages
        sender.send("PUB many 5\r\nhello\r\n" * 1000)
        assert {message.payload for message in web.messages(1000)} == {b"hello"}
        assert web.socket.messages - before < 20


@pytest.mark.parametrize("size", [0, 110, 111, 112, 125, 126, 65_000, 65_535, 65_536, 200_000, 1_000_000])
def test_messages_of_every_size_arrive(web: WebWire, size: int) -> None:
    payload = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    web.sub("sizes", "9")
    web.pub("sizes", payload)
    assert web.message(WAIT_SECONDS).payload == payload


def test_all_four_commands_and_the_order_of_priorities(ws_broker: Broker, web: WebWire, address: str) -> None:
    assert web.create(name=address)["is_new"]
    for rank in ("", ".urgent", ".critical", ""):
        web.msg(address + rank, rank)
    with WebWire(ws_broker.ws_port) as reader:
        reader.subscribe(address)
        got = reader.messages(4)
        assert [message.msg_id for message in got] == [2, 1, 0, 3]
        reader.pub(got[0].reply)
        wait_until(lambda: web.list(address)["total"] == 3)
        assert reader.delete(address, 1) == {"deleted": True}
        assert [message["msg_id"] for message in web.list(address)["messages"]] == [0, 3]


def test_clients_of_both_ports_exchange_messages(ws_broker: Broker, web: WebWire) -> None:
    with Wire(ws_broker.port) as plain:
        web.sub("both")
        web.ping()
        plain.pub("both", "from tcp", reply="answers")
        plain.sub("answers")
        plain.ping()
        message = web.message()
        assert message.payload == b"from tcp"
        web.pub(message.reply, "from websocket")
        assert plain.message().payload == b"from websocket"
