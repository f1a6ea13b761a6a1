"""Turns without time: work that a turn cannot do is done in the next, in order, for all clients in turn."""

from itertools import chain, pairwise

from hypothesis import given
from hypothesis import strategies as st

from mq9fast._core.testing.pubsub import set_turn_ns
from tests.support.in_memory import KIB, MANY, Core, Peer, cut, pub

MSG = b"$mq9.AI.MAILBOX.MSG."
MAX_RESUMED = 16
CATCH_UP_BYTES = 192 * KIB


def core_without_time(**limits: int) -> Core:
    """A core whose turns have no time left as soon as they begin."""
    core = Core(**limits)
    set_turn_ns(core.pending_work, 0)
    return core


def fill_mailbox(core: Core, address: bytes, count: int, size: int) -> None:
    """Create a mailbox with `count` messages of `size` bytes."""
    core.create(address)
    sender = core.session()
    for _ in range(count):
        sender.feed(pub(MSG + address, bytes(size)))
        core.end_turn()


def count_deliveries(peer: Peer) -> int:
    return peer.output().count(b" $mq9.AI.MAILBOX.DELETE.")


def test_consumers_catch_up_in_turn() -> None:
    core = core_without_time(payload_bytes=KIB * KIB)
    fill_mailbox(core, b"box", 6, 200 * KIB)
    readers = [core.session() for _ in range(4)]
    for reader in readers:
        reader.feed(b"SUB " + MSG + b"box 1\r\n")
    shares: list[list[int]] = [[] for _ in readers]
    for turn in range(40):
        core.end_turn()
        for number, reader in enumerate(readers):
            shares[number] += [turn] * count_deliveries(reader)
    for turns in shares:
        # Each consumer got all six messages, and between two of them each other consumer got at most one.
        assert len(turns) == 6
        assert all(later - earlier <= len(readers) for earlier, later in pairwise(turns)), shares
    assert max(turns[0] for turns in shares) < 2 * len(readers), shares


def test_share_includes_what_the_transport_has_not_written() -> None:
    """No later message can overtake those bytes: see TCP_NOTSENT_LOWAT in docs/design.md."""
    core = Core(payload_bytes=KIB * KIB)
    fill_mailbox(core, b"box", 30, 20_000)
    fill_mailbox(core, b"large", 1, 300 * KIB)
    reader = core.session()
    reader.feed(b"SUB " + MSG + b"box 1\r\n")
    for unsent in (0, 20_000, 64_000):
        reader.connection.unsent = unsent
        core.end_turn()
        size = len(reader.output())
        assert CATCH_UP_BYTES - 20_200 < size + unsent <= CATCH_UP_BYTES
    reader.feed(b"UNSUB 1\r\nSUB " + MSG + b"large 2\r\n")
    core.end_turn()
    assert count_deliveries(reader) == 1


def test_live_consumers_fall_behind_without_losing_messages() -> None:
    core = core_without_time()
    core.create(b"box")
    readers = [core.session() for _ in range(5)]
    for reader in readers:
        reader.feed(b"SUB " + MSG + b"box 1\r\n")
        core.end_turn()
    sender = core.session()
    for number in range(20):
        sender.feed(pub(MSG + b"box", b"%d" % number))
        core.end_turn()
    for _ in range(10):
        core.end_turn()
    for reader in readers:
        payloads = [line for line in reader.output().split(b"\r\n") if line and not line.startswith(b"MSG")]
        assert payloads == [b"%d" % number for number in range(20)]


def test_ping_is_answered_in_a_turn_whose_time_is_up() -> None:
    core = core_without_time()
    busy, other = core.session(), core.session()
    busy.feed(b"".join(b"SUB a.%d %d\r\n" % (number, number) for number in range(200)))
    assert not busy.connection.reading
    other.feed(b"PING\r\n")
    assert other.after_turn() == b"PONG\r\n"


def test_unsub_right_after_its_sub_is_handled_in_the_same_turn() -> None:
    core = core_without_time()
    fill_mailbox(core, b"box", 3, 10)
    peer = core.session()
    peer.feed(b"".join(b"SUB %bbox %d\r\nUNSUB %d 1\r\n" % (MSG, sid, sid) for sid in range(100)))
    for _ in range(300):
        core.end_turn()
    assert count_deliveries(peer) == 100


def test_clients_over_their_share_are_resumed_in_order_16_a_turn() -> None:
    core = Core()
    peers = [core.session() for _ in range(MAX_RESUMED * 2 + 3)]
    for peer in peers:
        peer.session.use_up_share()
    core.end_turn()
    assert [peer.connection.reading for peer in peers] == [True] * MAX_RESUMED + [False] * (MAX_RESUMED + 3)
    core.end_turn()
    core.end_turn()
    assert all(peer.connection.reading for peer in peers)


def test_stalled_clients_are_resumed_16_a_turn() -> None:
    core = Core()
    core.create(b"box")
    core.session().feed(pub(MSG + b"box", bytes(KIB * KIB)) * 9)
    peers = [core.session() for _ in range(MAX_RESUMED + 5)]
    for peer in peers:
        peer.feed(pub(MSG + b"box", b"x"))
        assert not peer.connection.reading
    core.end_turn()
    core.pending_work.resume_stalled()
    assert sum(peer.connection.reading for peer in peers) == MAX_RESUMED
    core.end_turn()
    assert all(peer.connection.reading for peer in peers)


def outputs_of(core: Core, pieces: list[bytes]) -> tuple[bytes, list[bytes]]:
    """The output of a client that sends `pieces`, and the sorted lines of another client's output."""
    other, peer = core.session(), core.session()
    other.feed(b"SUB out.> 9\r\n")
    core.create(b"box")
    core.end_turn()
    for piece in pieces:
        peer.feed(piece)
        core.end_turn()
        # A paused transport reads nothing more.
        while not peer.connection.reading:
            core.end_turn()
    for _ in range(50):
        core.end_turn()
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
def test_output_does_not_depend_on_the_time_of_a_turn(sent: list[bytes], offsets: list[int]) -> None:
    stream = b"".join(sent)
    assert outputs_of(core_without_time(), cut(stream, *offsets)) == outputs_of(Core(), cut(stream, *offsets))


def test_closed_client_with_unhandled_input_leaves_no_subscription() -> None:
    core = core_without_time()
    peers = [core.session() for _ in range(3)]
    for peer in peers:
        peer.feed(b"".join(b"SUB a.%d %d\r\n" % (number, number) for number in range(200)))
    for peer in peers:
        peer.session.closed()
    for _ in range(10):
        core.end_turn()
    assert core.engine.subscribed == core.engine.unsubscribed
    assert list(chain.from_iterable(peer.session.subscriptions for peer in peers)) == []


def test_client_that_is_stalled_again_waits_for_the_next_resume() -> None:
    """The rest of its read waits too: a slow receiver slows its sender down."""
    core = core_without_time()
    receiver, sender = core.session(), core.session()
    receiver.feed(b"SUB a 1\r\n")
    receiver.session.pause_writing()
    # The receiver has more unwritten output than it may have before its senders are stalled.
    core.session().feed(pub(b"a", bytes(KIB * KIB)) * 9)
    core.end_turn()
    sender.feed(pub(b"a", bytes(KIB)) * 50)
    core.end_turn()
    core.end_turn()
    for _ in range(3):
        handled = sender.session.in_messages
        # `schedule_end` begins a turn whose time is up, so the sender gets one operation handled.
        core.pending_work.schedule_end()
        set_turn_ns(core.pending_work, 1 << 60)
        core.pending_work.resume_stalled()
        set_turn_ns(core.pending_work, 0)
        assert sender.session.in_messages == handled + 1
        for _ in range(3):
            core.end_turn()
        assert sender.session.in_messages == handled + 1


def test_leaving_client_is_closed_after_its_input_is_handled() -> None:
    core = core_without_time()
    core.create(b"box")
    peers = [core.session() for _ in range(2)]
    for peer in peers:
        peer.feed(pub(MSG + b"box", b"x") * 30)
        peer.session.leave()
    peers[1].session.use_up_share()
    for _ in range(100):
        core.end_turn()
    assert [peer.connection.closing for peer in peers] == [True, True]
    mailbox = core.mailbox_index.get(b"box")
    assert mailbox is not None
    assert mailbox.total_count == 60
