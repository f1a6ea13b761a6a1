"""Messages deleted by id in any order: what is kept of rows that were looked up is never wrong."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mq9fast._core.mailbox.stored_messages import stored_messages
from tests.support.in_memory import MANY, Parts, Peer, pub

RANKS = [b"critical", b"urgent", b"normal"]
BOXES = [b"a", b"b"]

# Messages of one mailbox and rank; deletions; the end of a turn; forgetting what was looked up.
steps = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.sampled_from(BOXES), st.integers(0, 2), st.integers(1, 70)),
        st.tuples(st.just("delete"), st.sampled_from(BOXES), st.lists(st.integers(0, 150), max_size=40)),
        st.tuples(st.just("turn")),
        st.tuples(st.just("forget")),
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
def test_deletions_in_any_order(done: list[Any], row_bytes: int) -> None:
    parts = Parts()
    parts.accumulator.max_row_index_bytes = row_bytes
    boxes = {address: parts.create(address) for address in BOXES}
    peer = parts.session()
    peer.feed(b"SUB replies 1\r\n")
    parts.end_turn()
    there: dict[bytes, dict[int, int]] = {address: {} for address in BOXES}
    given_ids = dict.fromkeys(BOXES, 0)
    expected: list[bytes] = []
    for step in done:
        if step[0] == "send":
            _, address, rank, count = step
            send(peer, address, rank, count)
            there[address].update(dict.fromkeys(range(given_ids[address], given_ids[address] + count), rank))
            given_ids[address] += count
        elif step[0] == "delete":
            for msg_id in step[2]:
                delete(peer, step[1], msg_id)
                found = there[step[1]].pop(msg_id, None) is not None
                expected.append(b'{"deleted":true}' if found else b'{"deleted":false}')
        elif step[0] == "forget":
            # What is gathered is not in the store yet.
            parts.pipeline.write_batch()
            parts.accumulator.forget_rows()
        else:
            parts.end_turn()
    parts.end_turn()
    replies = [line for line in peer.output().split(b"\r\n") if line.startswith(b"{")]
    assert replies == expected
    for address, mailbox in boxes.items():
        for rank in range(3):
            stored = [message[0] for message in stored_messages(parts.store, mailbox, rank, 0)]
            assert stored == sorted(msg_id for msg_id, its in there[address].items() if its == rank)
            assert mailbox.count_of(rank) == len(stored)
    assert parts.mailbox_index.size_bytes == sum(map(len, there.values()))


def test_what_is_deleted_to_the_last_message_leaves_no_row() -> None:
    parts = Parts()
    parts.create(b"a")
    peer = parts.session()
    send(peer, b"a", 2, 300)
    parts.end_turn()
    order = [number * 7 % 300 for number in range(300)]
    for start in range(0, 300, 50):
        for msg_id in order[start : start + 50]:
            delete(peer, b"a", msg_id)
        parts.end_turn()
    assert [key for key in parts.store.pairs if not key.startswith(b"b")] == []
