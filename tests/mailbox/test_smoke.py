"""The commands of a mailbox, once each."""

from tests.support.wire_client import Wire


def test_a_mailbox_from_create_to_delete(wire: Wire, address: str) -> None:
    assert wire.create(name=address) == {"mail_address": address, "is_new": True}
    assert wire.msg(address, "hello") == {"msg_id": 0}
    wire.subscribe(address)
    message = wire.message()
    assert (message.payload, message.msg_id) == (b"hello", 0)
    assert wire.list(address)["total"] == 1
    assert wire.delete(address, 0) == {"deleted": True}
    assert wire.list(address)["total"] == 0
