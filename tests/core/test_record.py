"""Tests of `storage/record`: packing and unpacking of messages and mailboxes, and detection of corruption."""

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mq9fast._core.mailbox.mailbox_index import MailboxIndex
from mq9fast._core.mailbox.stored_messages import stored_messages
from mq9fast._core.storage.record import CorruptRecord
from tests.support.in_memory import MANY, Core, pub
from tests.support.stored_rows import attribute, load_mailbox, mailbox_record, message_key, message_value


def read(value: bytes) -> tuple[int, bytes, bytes]:
    """A stored message as the core reads it: (created_ms, header, payload)."""
    core = Core()
    mailbox = load_mailbox(core.mailbox_index, b"a", mailbox_record(next_id=9, count2=1))
    core.store.pairs = {message_key(0, 2, 5): value}
    [(msg_id, *fields)] = stored_messages(core.store, mailbox, 2, 0)
    assert msg_id == 5
    created_ms, header, payload, _ = fields
    return created_ms, header, payload


def test_layout_of_a_message() -> None:
    """A reader that does not need the attributes skips them."""
    core = Core()
    mailbox = core.create(b"a")
    core.session().feed(b"HPUB $mq9.AI.MAILBOX.MSG.a 12 19\r\nNATS/1.0\r\n\r\npayload\r\n")
    core.pipeline.write_batch()
    written = core.store.pairs[message_key(mailbox.uid, 2, 0)]
    now_ms = core.mailbox_index.now_ms
    assert written == message_value(now_ms, b"NATS/1.0\r\n\r\n", b"payload")
    assert read(written) == (now_ms, b"NATS/1.0\r\n\r\n", b"payload")
    assert read(message_value(77, b"hdr", b"payload", attributes=b"attrs")) == (77, b"hdr", b"payload")


@MANY
@given(st.binary(max_size=60))
@example(struct.pack(">BxHIQ", 1, 0, 0xFFFFFFFF, 0))
@example(struct.pack(">BxHIQ", 1, 0xFFFF, 0xFFFFFFFF, 0) + bytes(30))
@example(struct.pack(">BxHIQ", 1, 0xFFFF, 0, 0))
@example(struct.pack(">BxHIQ", 1, 0, 1, 0))
@example(struct.pack(">BxHIQ", 0, 0, 0, 0))
@example(struct.pack(">BxHIQ", 2, 0, 0, 0))
@example(struct.pack(">BxHIQ", 3, 0, 0, 0))
@example(struct.pack(">BxHI", 1, 0, 0))
@example(struct.pack(">BxHIQ", 1, 2, 3, 0) + bytes(4))
@example(struct.pack(">BxHIQ", 1, 2, 3, 0) + bytes(5))
def test_random_bytes_are_read_by_their_lengths_or_refused(value: bytes) -> None:
    """The reader raises CorruptRecord, or returns what the lengths say and nothing behind the end."""
    fits = len(value) >= 16 and value[0] == 1
    if fits:
        attributes, header, created_ms = struct.unpack(">HIQ", value[2:16])
        fits = 16 + attributes + header <= len(value)
    if not fits:
        with pytest.raises(CorruptRecord):
            read(value)
        return
    start = 16 + attributes
    assert read(value) == (created_ms, value[start : start + header], value[start + header :])


@MANY
@given(st.binary(min_size=20, max_size=60), st.data())
def test_truncated_or_altered_message_does_not_crash(body: bytes, data: st.DataObject) -> None:
    value = bytearray(message_value(123, body[:10], body[10:]))
    value[data.draw(st.integers(0, 15))] = data.draw(st.integers(0, 255))
    size = data.draw(st.integers(0, len(value)))
    try:
        _, header, payload = read(bytes(value[:size]))
    except CorruptRecord:
        return
    assert header + payload in bytes(value[:size])


# Mailbox records.


NUMBERS = ("uid", "next_id", "renewed_ms", "ttl_seconds", "size_bytes", "created_ms")
FIELDS = (*NUMBERS, "head0", "head1", "head2")


@MANY
@given(
    st.dictionaries(st.sampled_from(FIELDS), st.integers(0, 2**50 - 1)),
    st.lists(st.integers(0, 2**40), min_size=3, max_size=3),
    st.booleans(),
    st.binary(max_size=40),
)
def test_mailbox_record_is_loaded_and_written_unchanged(
    fields: dict[str, int], counts: list[int], public: bool, description: bytes
) -> None:
    fields |= {f"count{rank}": count for rank, count in enumerate(counts)}
    record = mailbox_record(description, public=public, **fields)
    core = Core()
    mailbox = load_mailbox(core.mailbox_index, b"a.b", record)
    assert (mailbox.exists, mailbox.public, mailbox.description) == (True, public, description or None)
    for name in NUMBERS:
        assert getattr(mailbox, name) == fields.get(name, 0)
    assert [mailbox.count_of(rank) for rank in range(3)] == counts
    assert core.mailbox_index.message_count == mailbox.total_count == sum(counts)
    assert core.mailbox_index.next_uid == mailbox.uid + 1
    core.accumulator.group.touch_mailbox(mailbox)
    core.pipeline.write_batch()
    assert core.store.pairs == {b"ba.b": record}


@pytest.mark.parametrize(
    "fields", [{"ttl_seconds": 2**50}, {"renewed_ms": 2**60}, {"uid": 2**64 - 1}], ids=repr
)
def test_mailbox_record_with_a_number_out_of_range_is_corrupt(fields: dict[str, int]) -> None:
    with pytest.raises(CorruptRecord, match="out of range"):
        load_mailbox(Core().mailbox_index, b"a.b", mailbox_record(b"", **fields))


@MANY
@given(st.binary(max_size=120))
@example(mailbox_record()[:-1])
@example(mailbox_record() + b"x")
@example(b"\x02" + mailbox_record()[1:])
@example(b"\x01\x00\x00\x00\xff\xff\xff\xff" + bytes(96))
@example(b"\x01\x00\xff\xff\xff\xff\xff\xff" + bytes(96))
@example(mailbox_record(attributes=b"\x01"))
@example(mailbox_record(attributes=b"\x01\x00\x08" + bytes(7)))
@example(mailbox_record(attributes=attribute(1, 0)))
@example(mailbox_record(attributes=attribute(1, b"1234567")))
@example(mailbox_record(attributes=attribute(1, 5) + attribute(1, 5)))
@example(mailbox_record(attributes=attribute(0, 5)))
@example(mailbox_record(attributes=attribute(255, 5)))
def test_random_bytes_are_loaded_as_a_mailbox_or_refused(record: bytes) -> None:
    """A corrupt record raises and leaves no trace in the index."""
    mailbox_index = MailboxIndex(1, 0)
    size, attributes = int.from_bytes(record[4:8], "big"), int.from_bytes(record[2:4], "big")
    if len(record) >= 104 and record[0] == 1 and len(record) == 104 + size and not attributes:
        load_mailbox(mailbox_index, b"a", record)
        return
    with pytest.raises(CorruptRecord):
        load_mailbox(mailbox_index, b"a", record)
    assert (mailbox_index.get(b"a"), mailbox_index.live_count, list(mailbox_index)) == (None, 0, [])


# Corrupt rows during delivery.


@pytest.mark.parametrize("queue", [b"", b"q "], ids=["plain", "queue"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        (message_key(0, 2, 0), b""),
        (message_key(0, 2, 0), b"\x09" * 40),
        (message_key(0, 2, 0), message_value(1, b"h" * 9, b"")[:20]),
        (message_key(0, 2, 0) + b"longer", message_value(1, b"", b"x")),
        (message_key(0, 2, 0)[:10] + b"\x00\x01", message_value(1, b"", b"x")),
    ],
    ids=["empty", "other version", "cut short", "long key", "short key"],
)
def test_corrupt_message_is_not_delivered(queue: bytes, key: bytes, value: bytes) -> None:
    core = Core()
    load_mailbox(core.mailbox_index, b"a", mailbox_record(next_id=2**50, count2=1))
    core.store.pairs = {key: value}
    reader = core.session()
    reader.feed(b"SUB $mq9.AI.MAILBOX.MSG.a " + queue + b"1\r\n")
    with pytest.raises(CorruptRecord):
        core.end_turn()
    assert reader.output() == b""
    assert not core.delivery.has_catch_up
    assert isinstance(core.delivery.read_again(), CorruptRecord)
    assert core.delivery.has_catch_up


def test_corrupt_mailbox_does_not_delay_other_mailboxes() -> None:
    """Catching up serves the other consumers first and raises the error afterwards."""
    core = Core()
    readers = []
    for address in (b"a", b"bad", b"c"):
        core.create(address)
        core.session().feed(pub(b"$mq9.AI.MAILBOX.MSG." + address, address))
    core.end_turn()
    core.store.pairs[message_key(1, 2, 0)] = b"corrupt"
    for address in (b"a", b"bad", b"c"):
        readers.append(core.session())
        readers[-1].feed(b"SUB $mq9.AI.MAILBOX.MSG.%b 1\r\n" % address)
    with pytest.raises(CorruptRecord):
        core.end_turn()
    outputs = [reader.output() for reader in readers]
    assert outputs[0].endswith(b"\r\na\r\n")
    assert outputs[1] == b""
    assert outputs[2].endswith(b"\r\nc\r\n")
    assert not core.delivery.has_catch_up
    assert isinstance(core.delivery.read_again(), CorruptRecord)
    assert core.delivery.has_catch_up


def test_next_ids_are_raised_once_for_each_id_epoch() -> None:
    """Loading the same record again does not raise them again."""
    core = Core()
    mailbox = load_mailbox(core.mailbox_index, b"a", mailbox_record(uid=7, next_id=5))
    assert mailbox.next_id == 5
    record = mailbox_record(uid=7, next_id=5)
    for id_epoch, next_id in ((1, 5 + (1 << 32)), (1, 5 + (1 << 32)), (3, 5 + (3 << 32))):
        mailbox_index = MailboxIndex(1, 0, id_epoch)
        mailbox = load_mailbox(mailbox_index, b"a", record)
        assert mailbox.next_id == mailbox.durable_id == next_id
        mailbox_index.skip_uids(0)
        assert mailbox_index.next_uid == 8 + (id_epoch << 32)
        mailbox_index.skip_uids(id_epoch)
        assert mailbox_index.next_uid == 8 + (id_epoch << 32)
        assert mailbox_index.create(b"new", False).next_id == id_epoch << 32
