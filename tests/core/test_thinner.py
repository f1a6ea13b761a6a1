"""Tests of the Thinner: it rewrites sparse record batches; messages stay readable and deletable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast._core.mailbox.stored_messages import stored_messages
from mq9fast._core.storage.record import CorruptRecord
from mq9fast._core.thinner import Thinner
from tests.support.in_memory import KIB, MANY, Core, pub
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
    core = Thinned()
    core.send(*(b"%d" % n * 100 for n in range(10)))
    assert core.delete(0, 1, 2, 3, 4, 6, 7, 8, 9) == [True] * 9
    assert core.mailbox.dead_bytes == core.dead_bytes_in_bitmaps == 9 * 128
    assert not core.thin()
    mailbox = core.mailbox
    assert core.rows == {
        batch_key(mailbox.uid, 2, 9): thinned_batch(10, {5: (5, mailbox.renewed_ms, b"", b"5" * 100)}),
        message_key(mailbox.uid, 2, 9): deletion_bitmap(0b1111011111),
    }
    assert core.payloads() == {5: b"5" * 100}
    assert (mailbox.dead_bytes, core.mailbox_index.dead_bytes, mailbox.total_count) == (0, 0, 1)
    assert core.delete(5, 4) == [True, False]
    assert core.rows == {}
    assert (mailbox.dead_bytes, mailbox.total_count, mailbox.size_bytes) == (0, 0, 0)


@pytest.mark.parametrize("left", [(0,), (63,), (0, 63), (17, 18, 19)])
def test_batch_is_thinned_again(left: tuple[int, ...]) -> None:
    core = Thinned()
    core.send(*(b"%02d" % n * 50 for n in range(64)))
    first = [n for n in range(64) if n not in {*left, *range(10, 25)}]
    core.delete(*first)
    core.thin()
    assert len(batch_of(core)) < 16 + 17 * 128 + 1
    core.delete(*(n for n in range(10, 25) if n not in left))
    core.thin()
    assert len(batch_of(core)) <= 16 + len(left) * 128
    assert core.payloads() == {n: b"%02d" % n * 50 for n in left}
    assert core.delete(*range(64)) == [n in left for n in range(64)]
    assert core.rows == {}


def batch_of(core: Thinned) -> bytes:
    (value,) = (value for value in core.rows.values() if value[0] in {2, 4})
    return value


def test_messages_in_flight_stay_valid_when_their_batch_is_thinned() -> None:
    core = Thinned()
    core.send(*(b"%02d" % n * 50 for n in range(64)))
    first, second = core.session(), core.session()
    first.feed(b"SUB $mq9.AI.MAILBOX.MSG.a q 1\r\n")
    assert first.after_turn().count(b"MSG $mq9") == 64
    core.delete(*range(1, 63))
    core.thin()
    assert len(batch_of(core)) < 400
    second.feed(b"SUB $mq9.AI.MAILBOX.MSG.a q 1\r\n")
    second.after_turn()
    first.feed(b"UNSUB 1\r\n")
    delivered = second.after_turn()
    assert delivered.count(b"MSG $mq9") == 2
    assert b"DELETE.a.0 100\r\n" + b"00" * 50 in delivered
    assert b"DELETE.a.63 100\r\n" + b"63" * 50 in delivered
    assert core.delete(0, 63, 5) == [True, True, False]
    assert core.rows == {}


@pytest.mark.parametrize("also", [(8,), (8, 9)])
def test_deletions_in_the_commit_group_that_thins(also: tuple[int, ...]) -> None:
    """Deletions before and after the step, of some and of all messages that are left."""
    for before in (True, False):
        core = Thinned()
        core.send(*(b"%d" % n * 100 for n in range(10)))
        core.delete(*range(8))
        if before:
            core.send_deletes(*also)
        core.thinner.step(core.store, NO_LIMIT)  # type: ignore[arg-type]
        if not before:
            core.send_deletes(*also)
        core.end_turn()
        left = {n: b"%d" % n * 100 for n in (8, 9) if n not in also}
        assert core.payloads() == left
        assert bool(core.rows) == bool(left)
        assert core.mailbox.dead_bytes == core.mailbox_index.dead_bytes == core.dead_bytes_in_bitmaps


def test_nothing_is_written_for_a_mailbox_that_has_ended() -> None:
    core = Thinned()
    core.send(*(b"%d" % n * 100 for n in range(10)))
    core.delete(*range(9))
    core.mailbox_index.end(core.mailbox)
    assert core.mailbox_index.dead_bytes == 0
    before = core.rows
    assert not core.thin()
    assert core.rows == before


def test_steps_are_limited_and_thin_everything_in_the_end() -> None:
    core = Thinned()
    for tail in (b"", b".critical", b".urgent"):
        for _ in range(10):
            core.send(*(b"x" * 100 for _ in range(50)), tail=tail)
    core.delete(*(n for n in range(1500) if n % 50))
    batches = [len(value) for value in core.rows.values() if value[0] == 2]
    assert len(batches) == 30
    steps = 1
    while core.thin(10 * KIB):
        steps += 1
        assert sum(value[0] == 4 for value in core.rows.values()) <= 2 * steps
    assert steps > 10
    assert all(value[0] != 2 for value in core.rows.values())
    assert core.mailbox_index.dead_bytes == 0
    assert core.mailbox.total_count == 30


def test_mailbox_is_thinned_later_after_a_read_error() -> None:
    core = Thinned()
    core.send(*(b"%d" % n * 100 for n in range(10)))
    core.delete(*range(8))
    core.store.failing = OSError("gone")
    with pytest.raises(OSError, match="gone"):
        core.thin()
    core.store.failing = None
    assert not core.thin()
    core.delete(8)
    core.thin()
    assert len(batch_of(core)) == 16 + 12 + 16 + 100


def test_dead_bytes_of_format_2_are_counted_by_thinning() -> None:
    core = Core()
    messages = [(n, 0, b"", b"%d" % n * 100) for n in range(10)]
    core.store.pairs = {
        batch_key(0, 2, 9): record_batch(messages),
        message_key(0, 2, 9): deletion_bitmap(0b0000000011),
    }
    mailbox = load_mailbox(core.mailbox_index, b"a", mailbox_record(next_id=10, count2=8, size_bytes=800))
    thinner = Thinner(core.mailbox_index, core.accumulator)
    core.mailbox_index.queue_all_for_thinning()
    assert not thinner.step(core.store, NO_LIMIT)  # type: ignore[arg-type]
    core.end_turn()
    assert core.store.pairs[message_key(0, 2, 9)] == deletion_bitmap(0b0000000011, 2 * 128)
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
    core = Thinned()
    mailbox: Mailbox = core.mailbox
    model: list[dict[int, bytes]] = [{}, {}, {}]
    tails = (b".critical", b".urgent", b"")
    for what, number, count in [*actions, ("thin", NO_LIMIT, 0), ("turn", 0, 0)]:
        if what == "send":
            for n in range(count):
                payload = b"%d" % n * (n % 7)
                model[number][mailbox.next_id] = payload
                core.session().feed(pub(b"$mq9.AI.MAILBOX.MSG.a" + tails[number], payload))
        elif what == "delete":
            core.send_deletes(*range(number, number + count))
            for msg_id in range(number, number + count):
                for rank in range(3):
                    model[rank].pop(msg_id, None)
        elif what == "thin":
            core.thinner.step(core.store, number)  # type: ignore[arg-type]
        else:
            core.end_turn()
            assert [core.payloads(rank) for rank in range(3)] == model
            assert mailbox.size_bytes == sum(len(each) for rank in model for each in rank.values())
            assert mailbox.dead_bytes == core.dead_bytes_in_bitmaps == core.mailbox_index.dead_bytes
            assert mailbox.total_count or not core.rows
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
    core = Core()
    core.store.pairs = {batch_key(0, 2, 9): value, message_key(0, 2, 9): deletion_bitmap(0b1111011111)}
    mailbox = load_mailbox(core.mailbox_index, b"a", mailbox_record(next_id=10, count2=1, size_bytes=1))
    with pytest.raises(CorruptRecord):
        list(stored_messages(core.store, mailbox, 2, 0))
