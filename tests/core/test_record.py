"""What is stored: round trips, corruption that is noticed, and keys in the order of delivery."""

import itertools
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mq9fast._core.mailbox import Directory
from mq9fast._core.record import (
    CorruptRecord,
    format_version,
    id_in_key,
    key_of_message,
    read_message,
    write_message,
)
from tests.core.parts import MANY, Parts, pub

U64 = st.integers(0, 2**64 - 1)
RANK = st.integers(0, 2)


@MANY
@given(U64, st.binary(max_size=100), st.binary(max_size=100))
def test_a_message_there_and_back(created_ms: int, header: bytes, payload: bytes) -> None:
    value = write_message(created_ms, header, payload)
    assert read_message(value) == (created_ms, header, payload)
    assert len(value) == 16 + len(header) + len(payload)
    assert value[:4] == bytes([format_version(), 0, 0, 0])


def test_the_layout_of_a_message() -> None:
    """As drawn in store/record.py; attributes, which this version never writes, are passed over."""
    value = struct.pack(">BxHIQ", 1, 5, 3, 77) + b"attrs" + b"hdr" + b"payload"
    assert read_message(value) == (77, b"hdr", b"payload")


@MANY
@given(st.binary(max_size=60))
@example(struct.pack(">BxHIQ", 1, 0, 0xFFFFFFFF, 0))
@example(struct.pack(">BxHIQ", 1, 0xFFFF, 0xFFFFFFFF, 0) + bytes(30))
@example(struct.pack(">BxHIQ", 1, 0xFFFF, 0, 0))
@example(struct.pack(">BxHIQ", 1, 0, 1, 0))
@example(struct.pack(">BxHIQ", 0, 0, 0, 0))
@example(struct.pack(">BxHIQ", 2, 0, 0, 0))
@example(struct.pack(">BxHI", 1, 0, 0))
@example(struct.pack(">BxHIQ", 1, 2, 3, 0) + bytes(4))
@example(struct.pack(">BxHIQ", 1, 2, 3, 0) + bytes(5))
def test_any_bytes_as_a_message(value: bytes) -> None:
    """CorruptRecord, or exactly what the lengths say and nothing from beyond the end."""
    fits = len(value) >= 16 and value[0] == format_version()
    if fits:
        _, attributes, header, created_ms = struct.unpack(">BxHIQ", value[:16])[0:1] + struct.unpack(
            ">HIQ", value[2:16]
        )
        fits = 16 + attributes + header <= len(value)
    if not fits:
        with pytest.raises(CorruptRecord):
            read_message(value)
        return
    start = 16 + attributes
    assert read_message(value) == (created_ms, value[start : start + header], value[start + header :])


@MANY
@given(st.binary(min_size=20, max_size=60), st.data())
def test_a_message_cut_short_or_altered_never_crashes(body: bytes, data: st.DataObject) -> None:
    value = bytearray(write_message(123, body[:10], body[10:]))
    value[data.draw(st.integers(0, 15))] = data.draw(st.integers(0, 255))
    size = data.draw(st.integers(0, len(value)))
    try:
        _, header, payload = read_message(bytes(value[:size]))
    except CorruptRecord:
        return
    assert header + payload in bytes(value[:size])


# Keys.


@MANY
@given(st.lists(st.tuples(U64, RANK, U64), max_size=20))
def test_keys_are_in_order_of_delivery(messages: list[tuple[int, int, int]]) -> None:
    keys = [key_of_message(*message) for message in messages]
    assert sorted(keys) == [key_of_message(*message) for message in sorted(messages)]
    assert [id_in_key(key) for key in keys] == [msg_id for _, _, msg_id in messages]
    assert {len(key) for key in keys} <= {18}


def test_keys_around_every_carry() -> None:
    ids = sorted({0, 1, *(2**bits + d for bits in range(1, 64) for d in (-1, 0, 1)), 2**64 - 1})
    for rank in range(3):
        keys = [key_of_message(5, rank, msg_id) for msg_id in ids]
        assert all(a < b for a, b in itertools.pairwise(keys))
    assert key_of_message(4, 2, 2**64 - 1) < key_of_message(5, 0, 0)
    assert key_of_message(5, 0, 2**64 - 1) < key_of_message(5, 1, 0)


@pytest.mark.parametrize("key", [b"", b"m", bytes(17), bytes(19)])
def test_what_is_no_key(key: bytes) -> None:
    with pytest.raises(CorruptRecord):
        id_in_key(key)


@pytest.mark.parametrize("arguments", [(-1, 0, 0), (2**64, 0, 0), (0, 0, -1), (0, 0, 2**64), (0, 2**31, 0)])
def test_numbers_that_do_not_fit_a_key(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(OverflowError):
        key_of_message(*arguments)


# Mailbox records.


def mailbox_record(description: bytes = b"", **fields: int) -> bytes:
    """As drawn in store/record.py."""
    names = ("uid", "next_id", "renewed_ms", "ttl_seconds")
    numbers = [fields.get(name, 0) for name in names]
    heads = [fields.get(f"head{rank}", 0) for rank in range(3)]
    counts = [fields.get(f"count{rank}", 0) for rank in range(3)]
    rest = [*numbers, *heads, *counts, fields.get("size_bytes", 0), 0]
    return struct.pack(">BBxxI12Q", 1, fields.get("public", 0), len(description), *rest) + description


FIELDS = ("uid", "next_id", "renewed_ms", "ttl_seconds", "head0", "head1", "head2", "size_bytes")


@MANY
@given(
    st.dictionaries(st.sampled_from(FIELDS), st.integers(0, 2**53)),
    st.lists(st.integers(0, 2**40), min_size=3, max_size=3),
    st.booleans(),
    st.binary(max_size=40),
)
def test_a_mailbox_there_and_back(
    fields: dict[str, int], counts: list[int], public: bool, description: bytes
) -> None:
    fields |= {f"count{rank}": count for rank, count in enumerate(counts)}
    record = mailbox_record(description, public=public, **fields)
    parts = Parts()
    mailbox = parts.directory.load(b"a.b", record)
    assert (mailbox.live, mailbox.public, mailbox.description) == (True, public, description or None)
    for name in ("uid", "next_id", "renewed_ms", "ttl_seconds", "size_bytes"):
        assert getattr(mailbox, name) == fields.get(name, 0)
    assert [mailbox.count_of(rank) for rank in range(3)] == counts
    assert [mailbox.head_of(rank) for rank in range(3)] == [fields.get(f"head{rank}", 0) for rank in range(3)]
    assert parts.directory.message_count == mailbox.total_count == sum(counts)
    assert parts.directory.next_uid == mailbox.uid + 1
    parts.intake.turn.touch_mailbox(mailbox)
    parts.write_out()
    assert parts.store.pairs == {b"ba.b": record}


@MANY
@given(st.binary(max_size=120))
@example(mailbox_record()[:-1])
@example(mailbox_record() + b"x")
@example(b"\x02" + mailbox_record()[1:])
@example(b"\x01\x00\x00\x00\xff\xff\xff\xff" + bytes(96))
def test_any_bytes_as_a_mailbox(record: bytes) -> None:
    """A corrupt record is refused, and leaves no half of a mailbox behind."""
    directory = Directory(1, 0)
    size = int.from_bytes(record[4:8], "big")
    if len(record) >= 104 and record[0] == 1 and len(record) == 104 + size:
        directory.load(b"a", record)
        return
    with pytest.raises(CorruptRecord):
        directory.load(b"a", record)
    assert (directory.get(b"a"), directory.live_count, list(directory)) == (None, 0, [])


# Corruption met while delivering.


@pytest.mark.parametrize("queue", [b"", b"q "], ids=["plain", "queue"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        (key_of_message(0, 2, 0), b""),
        (key_of_message(0, 2, 0), b"\x09" * 40),
        (key_of_message(0, 2, 0), write_message(1, b"h" * 9, b"")[:20]),
        (key_of_message(0, 2, 0) + b"longer", write_message(1, b"", b"x")),
        (key_of_message(0, 2, 0)[:10] + b"\x00\x01", write_message(1, b"", b"x")),
    ],
    ids=["empty", "other version", "cut short", "long key", "short key"],
)
def test_a_corrupt_message_is_not_delivered(queue: bytes, key: bytes, value: bytes) -> None:
    parts = Parts()
    parts.directory.load(b"a", mailbox_record(next_id=2**50, count2=1))
    parts.store.pairs = {key: value}
    reader = parts.session()
    reader.feed(b"SUB $mq9.AI.MAILBOX.MSG.a " + queue + b"1\r\n")
    with pytest.raises(CorruptRecord):
        parts.end_turn()
    assert reader.output() == b""
    assert parts.delivery.has_waiting


def test_a_corrupt_mailbox_keeps_nobody_elses_messages_back() -> None:
    """The pump goes on with the others, then says what was wrong."""
    parts = Parts()
    readers = []
    for address in (b"a", b"bad", b"c"):
        parts.open(address)
        parts.session().feed(pub(b"$mq9.AI.MAILBOX.MSG." + address, address))
    parts.end_turn()
    parts.store.pairs[key_of_message(1, 2, 0)] = b"corrupt"
    for address in (b"a", b"bad", b"c"):
        readers.append(parts.session())
        readers[-1].feed(b"SUB $mq9.AI.MAILBOX.MSG.%b 1\r\n" % address)
    with pytest.raises(CorruptRecord):
        parts.end_turn()
    outputs = [reader.output() for reader in readers]
    assert outputs[0].endswith(b"\r\na\r\n")
    assert outputs[1] == b""
    assert outputs[2].endswith(b"\r\nc\r\n")
    assert parts.delivery.has_waiting
