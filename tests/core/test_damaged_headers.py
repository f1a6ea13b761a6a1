"""Header blocks in the store that no broker writes are read within their bytes."""

import pytest

from tests.support.in_memory import Core, pub
from tests.support.stored_rows import load_mailbox, mailbox_record, message_key, message_value

HAS_REPLY_TO, HAS_RECEIPT_TO = 1, 2
BLOCKS = [
    b"",
    b"N",
    b"NATS/1.0\r\n",
    b"NATS/1.0\r\nMq9-Reply-To: a",
    b"NATS/1.0\r\nMq9-Reply-To:",
    b"NATS/1.0\r\nMq9-Reply-To:\n",
    b"NATS/1.0\r\nMq9-Correlation-Id:x",
    b"\r\n\r\n",
    b"x" * 300,
]


@pytest.mark.parametrize("block", BLOCKS, ids=repr)
def test_an_answer_to_a_message_with_a_damaged_header(block: bytes) -> None:
    core = Core()
    size = len(block) + 1
    load_mailbox(core.mailbox_index, b"a", mailbox_record(uid=1, next_id=1, count2=1, size_bytes=size))
    value = bytearray(message_value(0, block, b"?"))
    value[1] = HAS_REPLY_TO | HAS_RECEIPT_TO
    core.store.pairs[message_key(1, 2, 0)] = bytes(value)
    client = core.session()
    client.feed(b"SUB r 1\r\n" + pub(b"$mq9.AI.MAILBOX.DELETE.a.0", b"yes", b"r"))
    output = client.after_turn()
    assert b'{"deleted":true,"answer":null' in output
    assert core.mailbox_index.message_count == 0
