"""Tests of record batches: messages of a turn share a row, and deleted messages are skipped."""

import struct
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast._core.mailbox.stored_messages import stored_messages
from mq9fast._core.storage.record import CorruptRecord
from tests.support.in_memory import MANY, Core, pub
from tests.support.stored_rows import (
    batch_key,
    deletion_bitmap,
    load_mailbox,
    mailbox_record,
    message_key,
    message_value,
    record_batch,
)

SUFFIXES = (b".critical", b".urgent", b"")
BATCH = [(3, 30, b"", b"three"), (4, 40, b"", b""), (9, 90, b"hdr", b"nine")]


def send(core: Core, rank: int, payload: bytes) -> None:
    core.session().feed(pub(b"$mq9.AI.MAILBOX.MSG.a" + SUFFIXES[rank], payload))


def delete(core: Core, msg_id: int) -> bool:
    """Delete a message; returns whether the broker found it."""
    client = core.session()
    client.feed(b"SUB in 1\r\n" + pub(b"$mq9.AI.MAILBOX.DELETE.a.%d" % msg_id, reply=b"in"))
    answer = client.after_turn()
    assert (b"true" in answer) != (b"false" in answer), answer
    return b"true" in answer


def payloads(core: Core, mailbox: Mailbox, rank: int, start: int = 0) -> dict[int, bytes]:
    messages = stored_messages(core.store, mailbox, rank, start)
    return {msg_id: payload for msg_id, _, _, payload, _ in messages}


def rows(core: Core) -> dict[bytes, bytes]:
    """The rows of messages, without mailbox records."""
    return {key: value for key, value in core.store.pairs.items() if key.startswith(b"m")}


def batch_of_three(*, count: int = 3, **rest: int) -> tuple[Core, Mailbox]:
    """A mailbox with the messages of BATCH in one row."""
    core = Core()
    core.store.pairs = {batch_key(0, 2, 9): record_batch(BATCH)}
    return core, load_mailbox(
        core.mailbox_index, b"a", mailbox_record(next_id=10, count2=count, size_bytes=50, **rest)
    )


def test_layout_of_a_record_batch() -> None:
    core = Core()
    mailbox = core.create(b"a")
    frames = [pub(b"$mq9.AI.MAILBOX.MSG.a", payload) for payload in (b"n0", b"", b"n3")]
    core.session().feed(frames[0] + pub(b"$mq9.AI.MAILBOX.MSG.a.critical", b"c") + frames[1] + frames[2])
    now_ms = core.mailbox_index.now_ms
    core.end_turn()
    normal = record_batch([(0, now_ms, b"", b"n0"), (2, now_ms, b"", b""), (3, now_ms, b"", b"n3")])
    assert rows(core) == {
        batch_key(mailbox.uid, 2, 3): normal,
        message_key(mailbox.uid, 0, 1): message_value(now_ms, b"", b"c"),
    }
    assert delete(core, 2)
    assert rows(core)[message_key(mailbox.uid, 2, 3)] == deletion_bitmap(0b010, 28)


@pytest.mark.parametrize(
    ("count", "size", "row_count"),
    [
        *((64, 0, 1), (65, 0, 2), (128, 0, 2), (129, 0, 3)),
        *((8, 1007, 1), (9, 1007, 2)),
        *((2, 16_368, 1), (2, 16_369, 2), (3, 32_768, 3)),
    ],
)
def test_record_batch_is_limited_in_messages_and_bytes(count: int, size: int, row_count: int) -> None:
    """A batch has at most 64 messages, and at most 8 KiB of packed messages, or 32 KiB of large ones."""
    core = Core()
    mailbox = core.create(b"a")
    for _ in range(count):
        send(core, 2, b"x" * size)
    core.end_turn()
    assert len(rows(core)) == row_count
    assert payloads(core, mailbox, 2) == dict.fromkeys(range(count), b"x" * size)


def test_ids_of_a_record_batch_span_less_than_1024() -> None:
    """The span bounds how far a look-up by id has to search."""
    core = Core()
    mailbox = core.create(b"a")
    for rank in (1, *[2] * 1022, 1, 1):
        send(core, rank, b"x")
    core.end_turn()
    urgent = {key for key in rows(core) if key[9] == 1}
    assert urgent == {batch_key(mailbox.uid, 1, 1023), message_key(mailbox.uid, 1, 1024)}
    for msg_id in (1024, 0, 1023):
        assert delete(core, msg_id)
        assert not delete(core, msg_id)
    assert mailbox.count_of(1) == 0


def test_exhausted_iterator_stays_exhausted() -> None:
    core, mailbox = batch_of_three()
    messages = iter(stored_messages(core.store, mailbox, 2, 0))
    assert len(list(messages)) == 3
    assert list(messages) == []


def test_batch_and_bitmap_are_deleted_with_the_last_message() -> None:
    core, mailbox = batch_of_three()
    assert delete(core, 4)
    assert payloads(core, mailbox, 2) == {3: b"three", 9: b"nine"}
    assert not delete(core, 4)
    assert delete(core, 9)
    assert payloads(core, mailbox, 2) == {3: b"three"}
    assert delete(core, 3)
    assert rows(core) == {}
    assert not delete(core, 3)
    assert (mailbox.total_count, mailbox.size_bytes) == (0, 50 - 5 - 0 - 7)


def test_batch_deleted_in_one_turn_leaves_no_bitmap() -> None:
    core, mailbox = batch_of_three()
    client = core.session()
    for msg_id in (3, 9, 4, 4, 3):
        client.feed(pub(b"$mq9.AI.MAILBOX.DELETE.a.%d" % msg_id))
    core.end_turn()
    assert (rows(core), mailbox.total_count) == ({}, 0)


def test_message_deleted_in_its_own_turn_is_not_delivered() -> None:
    core = Core()
    mailbox = core.create(b"a")
    reader = core.session()
    reader.feed(b"SUB $mq9.AI.MAILBOX.MSG.a 1\r\n")
    reader.after_turn()
    for payload in (b"zero", b"one", b"two"):
        send(core, 2, payload)
    core.session().feed(pub(b"$mq9.AI.MAILBOX.DELETE.a.1"))
    send(core, 2, b"three")
    core.end_turn()
    assert payloads(core, mailbox, 2) == {0: b"zero", 2: b"two", 3: b"three"}
    frames = [
        b"MSG $mq9.AI.MAILBOX.MSG.a 1 $mq9.AI.MAILBOX.DELETE.a.%d %d\r\n%b\r\n" % (number, len(text), text)
        for number, text in [(0, b"zero"), (2, b"two"), (3, b"three")]
    ]
    assert reader.output() == b"".join(frames)


@pytest.mark.parametrize("start", range(11))
def test_reading_starts_in_the_middle_of_a_batch(start: int) -> None:
    core, mailbox = batch_of_three()
    core.store.pairs[message_key(0, 2, 9)] = deletion_bitmap(0b010)
    assert payloads(core, mailbox, 2, start) == {
        msg_id: payload for msg_id, payload in [(3, b"three"), (9, b"nine")] if msg_id >= start
    }


@pytest.mark.parametrize("queue", [b"", b"q "], ids=["plain", "queue"])
def test_subscribers_get_the_messages_that_are_left_in_a_batch(queue: bytes) -> None:
    core, _ = batch_of_three(count=2)
    core.store.pairs[message_key(0, 2, 9)] = deletion_bitmap(0b001)
    reader = core.session()
    reader.feed(b"SUB $mq9.AI.MAILBOX.MSG.a " + queue + b"1\r\n")
    frames = [
        b"MSG $mq9.AI.MAILBOX.MSG.a 1 $mq9.AI.MAILBOX.DELETE.a.4 0\r\n\r\n",
        b"HMSG $mq9.AI.MAILBOX.MSG.a 1 $mq9.AI.MAILBOX.DELETE.a.9 3 7\r\nhdrnine\r\n",
    ]
    assert reader.after_turn() == b"".join(frames)


def test_returned_messages_are_read_from_their_batch_again() -> None:
    core, _ = batch_of_three()
    first, second = core.session(), core.session()
    first.feed(b"SUB $mq9.AI.MAILBOX.MSG.a q 1\r\n")
    assert first.after_turn().count(b"MSG $mq9") == 3
    second.feed(b"SUB $mq9.AI.MAILBOX.MSG.a q 1\r\n")
    assert delete(core, 4)
    first.feed(b"UNSUB 1\r\n")
    delivered = second.after_turn()
    assert delivered.count(b"MSG $mq9") == 2
    assert b"DELETE.a.3 5\r\nthree" in delivered
    assert b"DELETE.a.9 3 7\r\nhdrnine" in delivered


def test_deletion_during_a_read_error_changes_nothing() -> None:
    """Neither the stored messages nor those in flight in a queue group change."""
    core, mailbox = batch_of_three()
    member = core.session()
    member.feed(b"SUB $mq9.AI.MAILBOX.MSG.a q 1\r\n")
    assert member.after_turn().count(b"MSG $mq9") == 3
    core.store.failing = OSError()
    member.feed(b"SUB in 2\r\n" + pub(b"$mq9.AI.MAILBOX.DELETE.a.4", reply=b"in"))
    core.store.failing = None
    assert member.after_turn() == b"MSG in 2 17\r\nstore_unavailable\r\n"
    assert mailbox.total_count == 3
    assert delete(core, 4)
    assert payloads(core, mailbox, 2) == {3: b"three", 9: b"nine"}


ACTION = st.one_of(
    st.tuples(st.just("send"), st.integers(0, 2), st.sampled_from([0, 10, 5000, 9000, 20_000])),
    st.tuples(st.just("many"), st.integers(0, 2), st.integers(2, 70)),
    st.tuples(st.just("delete"), st.integers(0, 150), st.just(0)),
    st.tuples(st.just("turn"), st.just(0), st.just(0)),
)


@MANY
@given(st.lists(ACTION, max_size=40))
@example([("many", 2, 70), ("turn", 0, 0), *(("delete", n, 0) for n in range(70)), ("turn", 0, 0)])
@example([("many", 2, 3), ("many", 1, 3), ("many", 2, 3), ("turn", 0, 0), ("delete", 7, 0), ("delete", 7, 0)])
def test_sends_and_deletions_agree_with_a_model(actions: list[tuple[str, int, int]]) -> None:
    core = Core()
    mailbox = core.create(b"a")
    model: list[dict[int, bytes]] = [{}, {}, {}]
    for what, number, size in [*actions, ("turn", 0, 0)]:
        if what in {"send", "many"}:
            for payload in [b"x" * size] if what == "send" else [b"%d" % n for n in range(size)]:
                model[number][mailbox.next_id] = payload
                send(core, number, payload)
        elif what == "delete":
            core.session().feed(pub(b"$mq9.AI.MAILBOX.DELETE.a.%d" % number))
            for rank in range(3):
                model[rank].pop(number, None)
        else:
            core.end_turn()
            assert [payloads(core, mailbox, rank) for rank in range(3)] == model
            assert [mailbox.count_of(rank) for rank in range(3)] == [len(each) for each in model]
            assert mailbox.size_bytes == sum(len(each) for rank in model for each in rank.values())
            assert mailbox.total_count or not rows(core)


# Corruption.


def read_by_hand(value: bytes) -> list[tuple[int, int, bytes, bytes, int]] | None:
    """The messages of a record batch, unpacked by struct; None if the bytes are not a valid batch."""
    if len(value) < 8 or value[0] != 2 or not 2 <= value[1] <= 64:
        return None
    first = 8 + 12 * value[1]
    entries = list(struct.iter_unpack(">QI", value[8:first])) if len(value) >= first else []
    ends = [end for _, end in entries]
    if not entries or ends != sorted(ends) or first + ends[-1] != len(value):
        return None
    found = []
    for (msg_id, end), begin in zip(entries, [0, *ends], strict=False):
        body = value[first + begin : first + end]
        # A message with the flag of a name needs one.
        if len(body) < 16 or body[0] != 1 or body[1] & 16:
            return None
        attributes, header, created_ms = struct.unpack(">HIQ", body[2:16])
        at = 16 + attributes + header
        if at > len(body):
            return None
        found.append((msg_id, created_ms, body[16 + attributes : at], body[at:], msg_id))
    return found


def altered_batches() -> Iterator[bytes]:
    """Batches with a byte of the fixed part, the entries or the first message altered, or truncated."""
    whole = record_batch(BATCH)
    for at in range(8 + 12 * 3 + 16):
        for byte in (0, 1, 2, 16, 65, 255):
            yield whole[:at] + bytes([byte]) + whole[at + 1 :]
    yield from (whole[:size] for size in range(len(whole)))
    yield whole + b"x"


@pytest.mark.parametrize("value", list(altered_batches()))
def test_altered_batch_is_read_by_its_lengths_or_refused(value: bytes) -> None:
    core, mailbox = batch_of_three()
    core.store.pairs[batch_key(0, 2, 9)] = value
    wanted = read_by_hand(value)
    if wanted is not None:
        assert list(stored_messages(core.store, mailbox, 2, 0)) == wanted
        return
    with pytest.raises(CorruptRecord):
        list(stored_messages(core.store, mailbox, 2, 0))


@pytest.mark.parametrize(
    "pairs",
    [
        {message_key(0, 2, 9): record_batch(BATCH)},
        {batch_key(0, 2, 9): message_value(1, b"", b"")},
        {batch_key(0, 2, 9): record_batch(BATCH[:1])},
        {message_key(0, 2, 9): deletion_bitmap(1)},
        {message_key(0, 2, 8): deletion_bitmap(1), batch_key(0, 2, 9): record_batch(BATCH)},
        {message_key(0, 2, 9): deletion_bitmap(1)[:-1], batch_key(0, 2, 9): record_batch(BATCH)},
        {
            message_key(0, 2, 9): deletion_bitmap(1),
            message_key(0, 2, 8): deletion_bitmap(1),
            batch_key(0, 2, 9): record_batch(BATCH),
        },
    ],
    ids=[
        *("batch under a message key", "message under a batch key", "batch of one"),
        *("bitmap alone", "bitmap of another batch", "short bitmap", "two bitmaps"),
    ],
)
def test_batch_and_bitmap_that_do_not_match_are_refused(pairs: dict[bytes, bytes]) -> None:
    core, mailbox = batch_of_three()
    core.store.pairs = pairs
    with pytest.raises(CorruptRecord):
        list(stored_messages(core.store, mailbox, 2, 0))


def test_corrupt_bitmap_makes_a_deletion_fail() -> None:
    core, mailbox = batch_of_three()
    core.store.pairs[message_key(0, 2, 9)] = b"corrupt"
    client = core.session()
    client.feed(b"SUB in 1\r\n" + pub(b"$mq9.AI.MAILBOX.DELETE.a.4", reply=b"in"))
    assert client.after_turn() == b"MSG in 1 17\r\nstore_unavailable\r\n"
    assert mailbox.total_count == 3
