"""Tests of sessions without sockets: ends of subscriptions, back-pressure, and queue groups."""

import gc
import sys

import pytest

from mq9fast._core.testing.pubsub import begin_end_of_turn, close_clients, subscription_count
from tests.support.in_memory import KIB, Core, Peer, pub

MSG = b"$mq9.AI.MAILBOX.MSG."
DELETE = b"$mq9.AI.MAILBOX.DELETE."


def payloads(output: bytes) -> list[bytes]:
    """The payloads of the messages in an output. They must contain no line end."""
    lines = output.split(b"\r\n")
    return [
        lines[at + 1 if line.startswith(b"MSG ") else lines.index(b"", at) + 1]
        for at, line in enumerate(lines)
        if line.startswith((b"MSG ", b"HMSG "))
    ]


def create_mailbox_with(core: Core, address: bytes, *messages: bytes) -> Peer:
    """Create a mailbox with these messages; returns the client that sent them."""
    core.create(address)
    sender = core.session()
    for message in messages:
        sender.feed(pub(MSG + address, message))
    core.end_turn()
    return sender


# Subscriptions that reach their maximum.


def test_sid_is_reusable_in_the_turn_of_its_last_delivery() -> None:
    """The subscription that reached its maximum is removed from the trie all the same."""
    core = Core()
    peer = core.session()
    for _ in range(50):
        peer.feed(b"SUB a 1\r\nUNSUB 1 1\r\n" + pub(b"a", b"x"))
        peer.feed(b"SUB a 1\r\n" + pub(b"a", b"y") + b"UNSUB 1\r\n")
        assert payloads(peer.output()) == [b"x", b"y"]
        core.end_turn()
    assert subscription_count(core.router.sublist) == 0


def test_sid_of_a_mailbox_is_reusable_in_the_turn_of_its_last_delivery() -> None:
    core = Core()
    create_mailbox_with(core, b"a", b"x", b"y")
    peer = core.session()
    for _ in range(5):
        peer.feed(b"SUB %ba 1\r\nUNSUB 1 1\r\n" % MSG)
        begin_end_of_turn(core.pending_work)
        core.delivery.catch_up(core.store)
        peer.feed(b"SUB %ba 1\r\n" % MSG)
        assert payloads(peer.after_turn()) == [b"x", b"x", b"y"]
        peer.feed(b"UNSUB 1\r\n")
        core.end_turn()
        mailbox = core.mailbox_index.get(b"a")
        assert mailbox is not None
        assert mailbox.consumer_count == 0


def test_unsub_after_the_last_delivery_does_not_revive_the_subscription() -> None:
    core = Core()
    peer = core.session()
    peer.feed(b"SUB a 1\r\nUNSUB 1 1\r\n" + pub(b"a", b"x") + b"UNSUB 1 5\r\n" + pub(b"a", b"y"))
    assert payloads(peer.after_turn()) == [b"x"]
    assert subscription_count(core.router.sublist) == 0


def test_closed_connection_leaves_no_objects_behind() -> None:
    core = Core()
    create_mailbox_with(core, b"a", *[b"%d" % i for i in range(10)])
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(20):
        peer = core.session()
        peer.feed(b"SUB x 1\r\nSUB y.* q 2\r\nSUB %ba 3\r\nSUB %ba q 4\r\nUNSUB 4 5\r\n" % (MSG, MSG))
        peer.feed(pub(b"x", b"hello") + pub(b"nobody", b"", b"x"))
        core.end_turn()
        assert peer.output()
        peer.session.closed()
        core.end_turn()
        references = sys.getrefcount(peer.session)
        assert references == 2
    del peer
    core.loop.calls.clear()
    gc.collect()
    mailbox = core.mailbox_index.get(b"a")
    assert mailbox is not None
    assert (
        mailbox.consumer_count,
        subscription_count(core.router.sublist),
        core.delivery.has_catch_up,
    ) == (0, 0, False)
    after = len(gc.get_objects())
    assert after <= before + 5


# Back-pressure.


def test_consumer_with_a_full_socket_is_parked_and_catches_up_later() -> None:
    core = Core()
    body = b"x" * KIB
    create_mailbox_with(core, b"a", *[body] * 1000)
    peer = core.session()
    peer.session.pause_writing()
    peer.feed(b"SUB %ba 1\r\n" % MSG)
    core.end_turn()
    assert not core.delivery.has_catch_up
    assert (peer.session.pending_bytes, peer.connection.written) == (0, [])
    peer.session.resume_writing()
    received: list[bytes] = []
    for _ in range(100):
        received += payloads(peer.after_turn())
    assert received == [body] * 1000


def test_consumer_of_a_closing_client_is_not_queued_again() -> None:
    core = Core()
    create_mailbox_with(core, b"a", *[b"x" * KIB] * 1000)
    for queue in (b"", b"q "):
        peer = core.session()
        peer.feed(b"SUB %ba %b1\r\n" % (MSG, queue))
        core.end_turn()
        peer.session.close_with(None)
        core.end_turn()
        core.end_turn()
        assert not core.delivery.has_catch_up


def test_slow_consumer_of_plain_subjects_is_disconnected_and_its_output_dropped() -> None:
    core = Core(max_pending_bytes=10 * KIB)
    reader, writer = core.session(), core.session()
    reader.feed(b"SUB a 1\r\n")
    reader.session.pause_writing()
    for _ in range(20):
        writer.feed(pub(b"a", b"x" * KIB))
    core.end_turn()
    assert reader.connection.closing
    assert reader.output() == b"-ERR 'Slow Consumer'\r\n"


def test_slow_consumer_limit_is_exactly_max_pending() -> None:
    core = Core(max_pending_bytes=10 * KIB)
    for more, closing in ((0, False), (1, True)):
        reader, writer = core.session(), core.session()
        reader.feed(b"SUB a 1\r\n")
        reader.session.pause_writing()
        for _ in range(10):
            writer.feed(pub(b"a", b"x" * 1000))
        rest = 10 * KIB - reader.session.pending_bytes
        reader.session.write(b"x" * (rest + more))
        assert reader.session.closing is closing
        close_clients(core.pending_work)
        reader.session.closed()


def test_messages_wait_only_if_the_transport_is_full() -> None:
    core = Core()
    create_mailbox_with(core, b"box", b"one")
    reader, writer = core.session(), core.session()
    reader.feed(b"SUB a 1\r\nSUB %bbox 2\r\n" % MSG)
    writer.feed(pub(b"a", b"x"))
    assert not reader.session.messages_wait
    core.end_turn()
    reader.session.pause_writing()
    assert not reader.session.messages_wait
    # A protocol line is not a message, and messages of a mailbox are not written to a full socket.
    reader.session.write(b"PING\r\n")
    writer.feed(pub(MSG + b"box", b"two"))
    core.end_turn()
    assert not reader.session.messages_wait
    writer.feed(pub(b"a", b"x"))
    assert reader.session.messages_wait
    reader.session.resume_writing()
    assert not reader.session.messages_wait


def test_output_over_max_pending_is_written_before_the_end_of_the_turn() -> None:
    core = Core(max_pending_bytes=10 * KIB)
    reader, writer = core.session(), core.session()
    for sid in range(100):
        reader.feed(b"SUB a %d\r\n" % sid)
    writer.feed(pub(b"a", b"x" * KIB))
    # The session writes before the end of the turn, in pieces of about max_pending.
    assert len(reader.connection.written) >= 9
    assert max(map(len, reader.connection.written)) < 12 * KIB
    assert reader.after_turn().count(b"MSG a ") == 100
    assert not reader.connection.closing


# Queue groups: messages in flight, returned and deleted.


def delete_all(peer: Peer, output: bytes) -> None:
    """Answer every delivery, as ack() of a client library does."""
    for line in output.split(b"\r\n"):
        if line.startswith(b"MSG "):
            peer.feed(pub(line.split()[3]))


@pytest.mark.parametrize("members", [1, 2, 3, 7])
def test_each_message_goes_to_one_member_and_all_are_deleted(members: int) -> None:
    core = Core()
    sent = [b"%d" % i for i in range(500)]
    create_mailbox_with(core, b"a", *sent)
    peers = [core.session() for _ in range(members)]
    for peer in peers:
        peer.feed(b"SUB %ba q 1\r\n" % MSG)
    received = []
    for _ in range(5):
        core.end_turn()
        for peer in peers:
            output = peer.output()
            received += payloads(output)
            delete_all(peer, output)
    core.end_turn()
    assert sorted(received, key=int) == sent
    mailbox = core.mailbox_index.get(b"a")
    assert mailbox is not None
    assert mailbox.total_count == 0
    assert [key for key in core.store.pairs if key.startswith(b"m")] == []


def test_messages_of_a_leaving_member_go_to_the_others_in_order() -> None:
    core = Core()
    create_mailbox_with(core, b"a", *[b"%02d" % i for i in range(50)])
    leaving, remaining = core.session(), core.session()
    leaving.feed(b"SUB %ba q 1\r\n" % MSG)
    first = payloads(leaving.after_turn())
    assert len(first) == 50
    # Some messages are deleted, some returned, and one deletion is not durable when the member leaves.
    leaving.feed(pub(DELETE + b"a.0") + pub(DELETE + b"a.7") + pub(DELETE + b"a.3", b"-NAK"))
    core.end_turn()
    assert payloads(leaving.output()) == [b"03"]
    remaining.feed(b"SUB %ba q 1\r\n" % MSG)
    leaving.feed(pub(DELETE + b"a.9"))
    leaving.session.closed()
    assert payloads(remaining.after_turn()) == [b"%02d" % i for i in range(50) if i not in (0, 7, 9)]


def test_member_past_its_maximum_keeps_its_messages_until_it_answers() -> None:
    core = Core()
    create_mailbox_with(core, b"a", b"x", b"y", b"z")
    peer, other = core.session(), core.session()
    peer.feed(b"SUB %ba q 1\r\nUNSUB 1 2\r\n" % MSG)
    assert payloads(peer.after_turn()) == [b"x", b"y"]
    other.feed(b"SUB %ba q 1\r\n" % MSG)
    assert payloads(other.after_turn()) == [b"z"]
    peer.feed(pub(DELETE + b"a.0"))
    core.end_turn()
    assert other.output() == b""
    peer.session.closed()
    assert payloads(other.after_turn()) == [b"y"]


def test_subscriptions_survive_the_end_and_new_creation_of_a_mailbox() -> None:
    core = Core()
    sender = create_mailbox_with(core, b"a", b"old")
    plain, member = core.session(), core.session()
    plain.feed(b"SUB %ba 1\r\n" % MSG)
    member.feed(b"SUB %ba q 1\r\n" % MSG)
    core.end_turn()
    assert payloads(plain.output()) == payloads(member.output()) == [b"old"]
    # The deletion is not durable when the mailbox ends.
    member.feed(pub(DELETE + b"a.0"))
    mailbox = core.mailbox_index.get(b"a")
    assert mailbox is not None
    core.mailbox_index.end(mailbox)
    core.delivery.restart(mailbox)
    core.end_turn()
    core.create(b"a")
    sender.feed(pub(MSG + b"a", b"new"))
    core.end_turn()
    assert payloads(plain.output()) == payloads(member.output()) == [b"new"]


@pytest.mark.parametrize("seed", range(20))
def test_random_traffic_of_a_group_loses_and_duplicates_nothing(seed: int) -> None:
    """Members join, answer, refuse and leave at random. In the end each message was deleted exactly once."""
    state = seed * 2 + 1

    def random_below(bound: int) -> int:
        nonlocal state
        state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
        return (state >> 33) % bound

    core = Core()
    sender = create_mailbox_with(core, b"a")
    members: list[Peer] = []
    sent = deleted = 0
    for step in range(300):
        if step < 250:
            for _ in range(random_below(6)):
                rank = [b"", b".urgent", b".critical"][random_below(3)]
                sender.feed(pub(MSG + b"a" + rank, b"%d" % sent))
                sent += 1
        if random_below(6) == 0 or not members:
            members.append(core.session())
            members[-1].feed(b"SUB %ba q 1\r\n" % MSG)
        if len(members) > 1 and random_below(8) == 0 and step < 250:
            members.pop(random_below(len(members))).session.closed()
        core.end_turn()
        for member in members:
            for line in member.output().split(b"\r\n"):
                if not line.startswith((b"MSG ", b"HMSG ")) or (step < 250 and random_below(3) == 0):
                    continue
                refused = step < 250 and random_below(4) == 0
                member.feed(pub(line.split()[3], b"-NAK" if refused else b""))
                deleted += not refused
        if step == 249:
            # Members with unanswered messages leave. The new members answer everything.
            for member in members:
                member.session.closed()
            members.clear()
    assert (deleted, core.mailbox_index.message_count) == (sent, 0)
    assert [key for key in core.store.pairs if key.startswith(b"m")] == []
