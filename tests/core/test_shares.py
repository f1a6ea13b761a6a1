"""Turns that have no time: what is not done in one is done in the next, in order, and for all in turn."""

from itertools import chain, pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.support.in_memory import KIB, MANY, Parts, Peer, cut, pub

MSG = b"$mq9.AI.MAILBOX.MSG."
RESUMED = 16


def hurried(**limits: int) -> Parts:
    """A broker whose turns are spent as soon as they begin."""
    parts = Parts(**limits)
    parts.pending_work.turn_ns = 0
    return parts


def filled(parts: Parts, address: bytes, count: int, size: int) -> None:
    """A mailbox with so many messages."""
    parts.create(address)
    sender = parts.session()
    for _ in range(count):
        sender.feed(pub(MSG + address, bytes(size)))
        parts.end_turn()


def deliveries(peer: Peer) -> int:
    return peer.output().count(b" $mq9.AI.MAILBOX.DELETE.")


def test_readers_that_fell_behind_are_pumped_in_turn() -> None:
    parts = hurried(payload_bytes=KIB * KIB)
    filled(parts, b"box", 6, 200 * KIB)
    readers = [parts.session() for _ in range(4)]
    for reader in readers:
        reader.feed(b"SUB " + MSG + b"box 1\r\n")
    shares: list[list[int]] = [[] for _ in readers]
    for turn in range(40):
        parts.end_turn()
        for number, reader in enumerate(readers):
            shares[number] += [turn] * deliveries(reader)
    for turns in shares:
        # Each has all six, one at a time, and the others one each in between.
        assert len(turns) == 6
        assert all(later - earlier <= len(readers) for earlier, later in pairwise(turns)), shares
    assert max(turns[0] for turns in shares) < 2 * len(readers), shares


def test_a_crowd_that_reads_along_falls_behind_and_loses_nothing() -> None:
    parts = hurried()
    parts.create(b"box")
    readers = [parts.session() for _ in range(5)]
    for reader in readers:
        reader.feed(b"SUB " + MSG + b"box 1\r\n")
        parts.end_turn()
    sender = parts.session()
    for number in range(20):
        sender.feed(pub(MSG + b"box", b"%d" % number))
        parts.end_turn()
    for _ in range(10):
        parts.end_turn()
    for reader in readers:
        payloads = [line for line in reader.output().split(b"\r\n") if line and not line.startswith(b"MSG")]
        assert payloads == [b"%d" % number for number in range(20)]


def test_a_bystander_is_answered_in_a_turn_that_is_spent() -> None:
    parts = hurried()
    busy, bystander = parts.session(), parts.session()
    busy.feed(b"".join(b"SUB a.%d %d\r\n" % (number, number) for number in range(200)))
    assert not busy.connection.reading
    bystander.feed(b"PING\r\n")
    assert bystander.after_turn() == b"PONG\r\n"


def test_a_maximum_behind_its_sub_holds_in_a_turn_that_is_spent() -> None:
    parts = hurried()
    filled(parts, b"box", 3, 10)
    peer = parts.session()
    peer.feed(b"".join(b"SUB %bbox %d\r\nUNSUB %d 1\r\n" % (MSG, sid, sid) for sid in range(100)))
    for _ in range(300):
        parts.end_turn()
    assert deliveries(peer) == 100


def test_no_more_than_some_clients_are_resumed_in_a_turn_the_first_first() -> None:
    parts = Parts()
    peers = [parts.session() for _ in range(RESUMED * 2 + 3)]
    for peer in peers:
        peer.session.use_up_quota()
    parts.end_turn()
    assert [peer.connection.reading for peer in peers] == [True] * RESUMED + [False] * (RESUMED + 3)
    parts.end_turn()
    parts.end_turn()
    assert all(peer.connection.reading for peer in peers)


def test_many_clients_that_were_stalled_are_resumed_some_at_a_time() -> None:
    parts = Parts()
    parts.create(b"box")
    parts.session().feed(pub(MSG + b"box", bytes(KIB * KIB)) * 9)
    peers = [parts.session() for _ in range(RESUMED + 5)]
    for peer in peers:
        peer.feed(pub(MSG + b"box", b"x"))
        assert not peer.connection.reading
    parts.end_turn()
    parts.pending_work.resume_stalled()
    assert sum(peer.connection.reading for peer in peers) == RESUMED
    parts.end_turn()
    assert all(peer.connection.reading for peer in peers)


def play(parts: Parts, pieces: list[bytes]) -> tuple[bytes, list[bytes]]:
    """What a client gets of what it sends, and another, which is told of mailboxes too, in whatever order."""
    other, peer = parts.session(), parts.session()
    other.feed(b"SUB out.> 9\r\n")
    parts.create(b"box")
    parts.end_turn()
    for piece in pieces:
        peer.feed(piece)
        parts.end_turn()
        # A transport that is paused hands over nothing more.
        while not peer.connection.reading:
            parts.end_turn()
    for _ in range(50):
        parts.end_turn()
    return peer.output(), sorted(other.output().split(b"\r\n"))


SENT = [
    b"SUB a 1\r\n",
    pub(b"a", b"hello"),
    pub(b"out.a", b"x" * 3000),
    pub(b"a", b"y" * 900) * 4,
    pub(MSG + b"box", b"m", b"out.c"),
    pub(b"$mq9.AI.MAILBOX.DELETE.box.0", b"", b"out.b"),
    pub(b"$mq9.AI.MAILBOX.DELETE.box.7", b"", b"out.d"),
    b"PING\r\n",
    b"UNSUB 1 6\r\n",
    b"".join(b"SUB b.%d b%d\r\n" % (number, number) for number in range(60)),
    pub(b"b.3", b"z"),
]


@MANY
@given(
    st.lists(st.sampled_from(SENT), min_size=1, max_size=25),
    st.lists(st.integers(0, 100_000), max_size=6),
)
def test_what_comes_out_is_the_same_however_little_time_a_turn_has(
    sent: list[bytes], places: list[int]
) -> None:
    stream = b"".join(sent)
    assert play(hurried(), cut(stream, *places)) == play(Parts(), cut(stream, *places))


def test_a_client_that_leaves_with_much_left_over_leaves_nothing() -> None:
    parts = hurried()
    peers = [parts.session() for _ in range(3)]
    for peer in peers:
        peer.feed(b"".join(b"SUB a.%d %d\r\n" % (number, number) for number in range(200)))
    for peer in peers:
        peer.session.closed()
    for _ in range(10):
        parts.end_turn()
    assert parts.engine.subscribed == parts.engine.unsubscribed
    assert list(chain.from_iterable(peer.session.subscriptions for peer in peers)) == []


def test_a_client_that_is_stalled_again_waits_for_the_next_time() -> None:
    """What is left of its read is for then too: a receiver that does not keep up slows it down."""
    parts = hurried()
    receiver, sender = parts.session(), parts.session()
    receiver.feed(b"SUB a 1\r\n")
    receiver.session.pause_writing()
    # The receiver has more waiting than it may have before its senders wait.
    parts.session().feed(pub(b"a", bytes(KIB * KIB)) * 9)
    parts.end_turn()
    sender.feed(pub(b"a", bytes(KIB)) * 50)
    parts.end_turn()
    parts.end_turn()
    for _ in range(3):
        handled = sender.session.in_messages
        # There is time for it, but not for all of it: the turn began long ago.
        parts.pending_work.schedule_end()
        parts.pending_work.turn_ns = 1 << 60
        parts.pending_work.resume_stalled()
        parts.pending_work.turn_ns = 0
        assert sender.session.in_messages == handled + 1
        for _ in range(3):
            parts.end_turn()
        assert sender.session.in_messages == handled + 1


def test_a_client_that_says_goodbye_is_closed_once_all_that_it_sent_is_handled() -> None:
    parts = hurried()
    parts.create(b"box")
    peers = [parts.session() for _ in range(2)]
    for peer in peers:
        peer.feed(pub(MSG + b"box", b"x") * 30)
        peer.session.leave()
    peers[1].session.use_up_quota()
    for _ in range(100):
        parts.end_turn()
    assert [peer.connection.closing for peer in peers] == [True, True]
    mailbox = parts.mailbox_index.get(b"box")
    assert mailbox is not None
    assert mailbox.total_count == 60
