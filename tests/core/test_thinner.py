"""Tests of the Thinner: it rewrites sparse record batches; messages stay readable and deletable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast._core.mailbox.stored_messages import stored_messages
from mq9fast._core.storage.record import CorruptRecord
from mq9fast._core.thinner import Thinner
from tests.support.in_memory import KIB, MANY, Parts, pub
from tests.support.stored_rows import (
    batch_key,
    deletion_bitmap,
    load_mailbox,
    mailbox_record,
    message_key,
    record_batch,
    thinned_batch,
)
from tests.support.thinned import NO_LIMIT, Thinned


def test_layout_of_a_thinned_batch() -> None:
    parts = Thinned()
    parts.send(*(b"%d" % n * 100 for n in range(10)))
    assert parts.delete(0, 1, 2, 3, 4, 6, 7, 8, 9) == [True] * 9
    assert parts.mailbox.dead_bytes == parts.dead_bytes_in_bitmaps == 9 * 128
    assert not parts.thin()
    mailbox = parts.mailbox
    assert parts.rows == {
        batch_key(mailbox.uid, 2, 9): thinned_batch(10, {5: (5, mailbox.renewed_ms, b"", b"5" * 100)}),
        message_key(mailbox.uid, 2, 9): deletion_bitmap(0b1111011111),
    }
    assert parts.payloads() == {5: b"5" * 100}
    assert (mailbox.dead_bytes, parts.mailbox_index.dead_bytes, mailbox.total_count) == (0, 0, 1)
    assert parts.delete(5, 4) == [True, False]
    assert parts.rows == {}
    assert (mailbox.dead_bytes, mailbox.total_count, mailbox.size_bytes) == (0, 0, 0)


@pytest.mark.parametrize("left", [(0,), (63,), (0, 63), (17, 18, 19)])
def test_batch_is_thinned_again(left: tuple[int, ...]) -> None:
    parts = Thinned()
    parts.send(*(b"%02d" % n * 50 for n in range(64)))
    first = [n for n in range(64) if n not in {*left, *range(10, 25)}]
    parts.delete(*first)
    parts.thin()
    assert len(batch_of(parts)) < 16 + 17 * 128 + 1
    parts.delete(*(n for n in range(10, 25) if n not in left))
    parts.thin()
    assert len(batch_of(parts)) <= 16 + len(left) * 128
    assert parts.payloads() == {n: b"%02d" % n * 50 for n in left}
    assert parts.delete(*range(64)) == [n in left for n in range(64)]
    assert parts.rows == {}


def batch_of(parts: Thinned) -> bytes:
    (value,) = (value for value in parts.rows.values() if value[0] in {2, 4})
    return value


def test_messages_in_flight_stay_valid_when_their_batch_is_thinned() -> None:
    parts = Thinned()
    parts.send(*(b"%02d" % n * 50 for n in range(64)))
    first, second = parts.session(), parts.session()
    first.feed(b"SUB $mq9.AI.MAILBOX.MSG.a q 1\r\n")
    assert first.after_turn().count(b"MSG $mq9") == 64
    parts.delete(*range(1, 63))
    parts.thin()
    assert len(batch_of(parts)) < 400
    second.feed(b"SUB $mq9.AI.MAILBOX.MSG.a q 1\r\n")
    second.after_turn()
    first.feed(b"UNSUB 1\r\n")
    delivered = second.after_turn()
    assert delivered.count(b"MSG $mq9") == 2
    assert b"DELETE.a.0 100\r\n" + b"00" * 50 in delivered
    assert b"DELETE.a.63 100\r\n" + b"63" * 50 in delivered
    assert parts.delete(0, 63, 5) == [True, True, False]
    assert parts.rows == {}


@pytest.mark.parametrize("also", [(8,), (8, 9)])
def test_deletions_in_the_commit_group_that_thins(also: tuple[int, ...]) -> None:
    """Deletions before and after the step, of some and of all messages that are left."""
    for before in (True, False):
        parts = Thinned()
        parts.send(*(b"%d" % n * 100 for n in range(10)))
        parts.delete(*range(8))
        if before:
            parts.send_deletes(*also)
        parts.thinner.step(parts.store, NO_LIMIT)  # type: ignore[arg-type]
        if not before:
            parts.send_deletes(*also)
        parts.end_turn()
        left = {n: b"%d" % n * 100 for n in (8, 9) if n not in also}
        assert parts.payloads() == left
        assert bool(parts.rows) == bool(left)
        assert parts.mailbox.dead_bytes == parts.mailbox_index.dead_bytes == parts.dead_bytes_in_bitmaps


def test_nothing_is_written_for_a_mailbox_that_has_ended() -> None:
    parts = Thinned()
    parts.send(*(b"%d" % n * 100 for n in range(10)))
    parts.delete(*range(9))
    parts.mailbox_index.end(parts.mailbox)
    assert parts.mailbox_index.dead_bytes == 0
    before = parts.rows
    assert not parts.thin()
    assert parts.rows == before


def test_steps_are_limited_and_thin_everything_in_the_end() -> None:
    parts = Thinned()
    for tail in (b"", b".critical", b".urgent"):
        for _ in range(10):
            parts.send(*(b"x" * 100 for _ in range(50)), tail=tail)
    parts.delete(*(n for n in range(1500) if n % 50))
    batches = [len(value) for value in parts.rows.values() if value[0] == 2]
    assert len(batches) == 30
    steps = 1
    while parts.thin(10 * KIB):
        steps += 1
        assert sum(value[0] == 4 for value in parts.rows.values()) <= 2 * steps
    assert steps > 10
    assert all(value[0] != 2 for value in parts.rows.values())
    assert parts.mailbox_index.dead_bytes == 0
    assert parts.mailbox.total_count == 30


def test_mailbox_is_thinned_later_after_a_read_error() -> None:
    parts = Thinned()
    parts.send(*(b"%d" % n * 100 for n in range(10)))
    parts.delete(*range(8))
    parts.store.failing = OSError("gone")
    with pytest.raises(OSError, match="gone"):
        parts.thin()
    parts.store.failing = None
    assert not parts.thin()
    parts.delete(8)
    parts.thin()
    assert len(batch_of(parts)) == 16 + 12 + 16 + 100


def test_dead_bytes_of_format_2_are_counted_by_thinning() -> None:
    parts = Parts()
    messages = [(n, 0, b"", b"%d" % n * 100) for n in range(10)]
    parts.store.pairs = {
        batch_key(0, 2, 9): record_batch(messages),
        message_key(0, 2, 9): deletion_bitmap(0b0000000011),
    }
    mailbox = load_mailbox(parts.mailbox_index, b"a", mailbox_record(next_id=10, count2=8, size_bytes=800))
    thinner = Thinner(parts.mailbox_index, parts.accumulator)
    parts.mailbox_index.queue_all_for_thinning()
    assert not thinner.step(parts.store, NO_LIMIT)  # type: ignore[arg-type]
    parts.end_turn()
    assert parts.store.pairs[message_key(0, 2, 9)] == deletion_bitmap(0b0000000011, 2 * 128)
    assert mailbox.dead_bytes == 2 * 128


ACTION = st.one_of(
    st.tuples(st.just("send"), st.integers(0, 2), st.integers(1, 70)),
    st.tuples(st.just("delete"), st.integers(0, 150), st.integers(1, 40)),
    st.tuples(st.just("thin"), st.integers(0, 20_000), st.just(0)),
    st.tuples(st.just("turn"), st.just(0), st.just(0)),
)


@MANY
@given(st.lists(ACTION, max_size=40))
def test_thinning_agrees_with_a_model(actions: list[tuple[str, int, int]]) -> None:
    parts = Thinned()
    mailbox: Mailbox = parts.mailbox
    model: list[dict[int, bytes]] = [{}, {}, {}]
    tails = (b".critical", b".urgent", b"")
    for what, number, count in [*actions, ("thin", NO_LIMIT, 0), ("turn", 0, 0)]:
        if what == "send":
            for n in range(count):
                payload = b"%d" % n * (n % 7)
                model[number][mailbox.next_id] = payload
                parts.session().feed(pub(b"$mq9.AI.MAILBOX.MSG.a" + tails[number], payload))
        elif what == "delete":
            parts.send_deletes(*range(number, number + count))
            for msg_id in range(number, number + count):
                for rank in range(3):
                    model[rank].pop(msg_id, None)
        elif what == "thin":
            parts.thinner.step(parts.store, number)  # type: ignore[arg-type]
        else:
            parts.end_turn()
            assert [parts.payloads(rank) for rank in range(3)] == model
            assert mailbox.size_bytes == sum(len(each) for rank in model for each in rank.values())
            assert mailbox.dead_bytes == parts.dead_bytes_in_bitmaps == parts.mailbox_index.dead_bytes
            assert mailbox.total_count or not parts.rows
    live_bytes = mailbox.size_bytes + 28 * mailbox.total_count
    assert mailbox.dead_bytes <= live_bytes + 256


@pytest.mark.parametrize(
    "value",
    [
        thinned_batch(10, {5: (5, 0, b"", b"x")})[:-1],
        thinned_batch(10, {5: (5, 0, b"", b"x")})[:12],
        thinned_batch(10, {5: (5, 0, b"", b"x")}) + b"x",
        thinned_batch(10, {}),
        thinned_batch(5, {5: (5, 0, b"", b"x")}),
        thinned_batch(1, {0: (9, 0, b"", b"x")}),
        thinned_batch(65, {5: (5, 0, b"", b"x")}),
    ],
    ids=["short", "cut", "long", "of none", "past its count", "of one", "of too many"],
)
def test_altered_thinned_batch_is_refused(value: bytes) -> None:
    parts = Parts()
    parts.store.pairs = {batch_key(0, 2, 9): value, message_key(0, 2, 9): deletion_bitmap(0b1111011111)}
    mailbox = load_mailbox(parts.mailbox_index, b"a", mailbox_record(next_id=10, count2=1, size_bytes=1))
    with pytest.raises(CorruptRecord):
        list(stored_messages(parts.store, mailbox, 2, 0))
