"""Tests of `mailbox/stored_messages`: reading backwards and by id finds what reading forwards finds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq9fast._core.mailbox.stored_messages import find_message, messages_before, stored_messages
from mq9fast._core.storage.record import CorruptRecord
from tests.support.in_memory import MANY
from tests.support.stored_rows import deletion_bitmap, message_key
from tests.support.thinned import Thinned

TAILS = (b".critical", b".urgent", b"")
# Sends of a turn: (rank, count). A list of ids to delete may follow, and a thinning.
TURNS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 70)), max_size=3),
        st.sets(st.integers(0, 300), max_size=40),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


def fill(turns: list[tuple[list[tuple[int, int]], set[int], bool]]) -> Thinned:
    """A mailbox with record batches, single messages, deletion bitmaps and thinned batches."""
    core = Thinned()
    for sends, deletes, thin in turns:
        for rank, count in sends:
            core.send(*(b"%d" % n for n in range(count)), tail=TAILS[rank])
        core.delete(*deletes)
        if thin:
            core.thin()
    return core


@MANY
@given(turns=TURNS, start=st.integers(0, 300), end=st.integers(0, 300))
def test_messages_come_backwards(
    turns: list[tuple[list[tuple[int, int]], set[int], bool]], start: int, end: int
) -> None:
    core = fill(turns)
    for rank in range(3):
        forwards = list(stored_messages(core.store, core.mailbox, rank, 0))
        for first, behind in ((0, 1 << 62), (start, end)):
            expected = [message for message in forwards if first <= message[0] < behind]
            assert list(messages_before(core.store, core.mailbox, rank, first, behind)) == expected[::-1]
        by_id = {message[0]: message for message in forwards}
        for msg_id in (start, end, *by_id):
            assert find_message(core.store, core.mailbox, rank, msg_id) == by_id.get(msg_id)


def test_stored_messages_end_at_a_former_durable_id() -> None:
    core = Thinned()
    core.send(b"0", b"1", b"2")
    end = core.mailbox.durable_id
    core.send(b"3", b"4")
    assert [each[0] for each in stored_messages(core.store, core.mailbox, 2, 1, end)] == [1, 2]
    assert [each[0] for each in stored_messages(core.store, core.mailbox, 2, 1)] == [1, 2, 3, 4]
    assert list(stored_messages(core.store, core.mailbox, 2, end, end)) == []


def test_messages_that_are_not_durable_are_not_found() -> None:
    core = Thinned()
    core.send(b"0")
    core.session().feed(b"PUB $mq9.AI.MAILBOX.MSG.a 1\r\n1\r\n")
    core.pipeline.write_batch()
    assert find_message(core.store, core.mailbox, 2, 1) is None
    assert [each[0] for each in messages_before(core.store, core.mailbox, 2, 0, 9)] == [0]


@pytest.mark.parametrize("rank", [-1, 3])
def test_rank_out_of_range_is_an_error(rank: int) -> None:
    core = Thinned()
    with pytest.raises(IndexError):
        find_message(core.store, core.mailbox, rank, 0)
    with pytest.raises(IndexError):
        list(messages_before(core.store, core.mailbox, rank, 0, 1))


def test_deletion_bitmap_without_its_batch_is_corrupt() -> None:
    core = Thinned()
    core.send(*(b"%d" % n for n in range(5)))
    core.store.pairs[message_key(core.mailbox.uid, 2, 2)] = deletion_bitmap(1)
    with pytest.raises(CorruptRecord):
        list(messages_before(core.store, core.mailbox, 2, 0, 9))
