"""Tests of deletions by id in any order: the index of rows that were looked up agrees with the store."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mq9fast._core.mailbox.stored_messages import stored_messages
from mq9fast._core.testing.storage import set_max_row_index_bytes
from tests.support.in_memory import MANY, Core, Peer, pub

RANKS = [b"critical", b"urgent", b"normal"]
BOXES = [b"a", b"b"]

# Send messages to a mailbox with a rank; delete messages; end the turn; empty the index of rows.
steps = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.sampled_from(BOXES), st.integers(0, 2), st.integers(1, 70)),
        st.tuples(st.just("delete"), st.sampled_from(BOXES), st.lists(st.integers(0, 150), max_size=40)),
        st.tuples(st.just("turn")),
        st.tuples(st.just("forget rows")),
    ),
    max_size=30,
)


def send(peer: Peer, address: bytes, rank: int, count: int) -> None:
    suffix = b"" if rank == 2 else b"." + RANKS[rank]
    peer.feed(pub(b"$mq9.AI.MAILBOX.MSG." + address + suffix, b"x") * count)


def delete(peer: Peer, address: bytes, msg_id: int) -> None:
    peer.feed(pub(b"$mq9.AI.MAILBOX.DELETE.%b.%d" % (address, msg_id), b"", b"replies"))


@MANY
@given(steps, st.sampled_from([0, 500, 1500, 1 << 20]))
def test_deletions_in_any_order_agree_with_a_model(actions: list[Any], index_bytes: int) -> None:
    core = Core()
    set_max_row_index_bytes(core.accumulator, index_bytes)
    boxes = {address: core.create(address) for address in BOXES}
    peer = core.session()
    peer.feed(b"SUB replies 1\r\n")
    core.end_turn()
    model: dict[bytes, dict[int, int]] = {address: {} for address in BOXES}
    next_ids = dict.fromkeys(BOXES, 0)
    expected: list[bytes] = []
    for step in actions:
        if step[0] == "send":
            _, address, rank, count = step
            send(peer, address, rank, count)
            model[address].update(dict.fromkeys(range(next_ids[address], next_ids[address] + count), rank))
            next_ids[address] += count
        elif step[0] == "delete":
            for msg_id in step[2]:
                delete(peer, step[1], msg_id)
                found = model[step[1]].pop(msg_id, None) is not None
                expected.append(b'{"deleted":true}' if found else b'{"deleted":false}')
        elif step[0] == "forget rows":
            # The index may be emptied only after its changes are written.
            core.pipeline.write_batch()
            core.accumulator.forget_rows()
        else:
            core.end_turn()
    core.end_turn()
    replies = [line for line in peer.output().split(b"\r\n") if line.startswith(b"{")]
    assert replies == expected
    for address, mailbox in boxes.items():
        for rank in range(3):
            stored = [message[0] for message in stored_messages(core.store, mailbox, rank, 0)]
            assert stored == sorted(msg_id for msg_id, its in model[address].items() if its == rank)
            assert mailbox.count_of(rank) == len(stored)
    assert core.mailbox_index.size_bytes == sum(map(len, model.values()))


def test_deleting_all_messages_leaves_no_row() -> None:
    core = Core()
    core.create(b"a")
    peer = core.session()
    send(peer, b"a", 2, 300)
    core.end_turn()
    order = [number * 7 % 300 for number in range(300)]
    for start in range(0, 300, 50):
        for msg_id in order[start : start + 50]:
            delete(peer, b"a", msg_id)
        core.end_turn()
    assert [key for key in core.store.pairs if not key.startswith(b"b")] == []
