"""The reasons for which a client is paused: it is stalled, over its share, or its CONNECT is pending."""

import pytest

from tests.support.in_memory import KIB, Core, Peer, pub

MESSAGE = pub(b"$mq9.AI.MAILBOX.MSG.a", b"x")


def core_with_a_full_group() -> Core:
    """A core whose commit group has gathered so much that clients which send more are stalled."""
    core = Core()
    core.create(b"a")
    core.session().feed(pub(b"$mq9.AI.MAILBOX.MSG.a", bytes(KIB * KIB)) * 9)
    return core


def awaiting_connect(core: Core) -> Peer:
    peer = core.session()
    peer.session.wait()
    return peer


def test_operations_after_a_connect_may_stall_their_client() -> None:
    core = core_with_a_full_group()
    peer = awaiting_connect(core)
    peer.feed(MESSAGE)
    peer.session.proceed()
    assert not peer.connection.reading
    core.end_turn()
    core.pending_work.resume_stalled()
    assert peer.connection.reading


@pytest.mark.parametrize("others_first", [True, False])
def test_pause_reasons_are_independent(others_first: bool) -> None:
    core = core_with_a_full_group()
    peer = core.session()
    peer.session.use_up_share()
    peer.feed(MESSAGE)
    peer.session.wait()
    peer.feed(b"PING\r\n" * KIB)
    ends = [core.end_turn, core.pending_work.resume_stalled, peer.session.proceed]
    for end in ends if others_first else reversed(ends):
        assert not peer.connection.reading
        end()
    assert peer.connection.reading


def test_4_kib_are_read_ahead_while_connect_is_pending() -> None:
    core = Core()
    peer = awaiting_connect(core)
    peer.feed(b"PING\r\n")
    assert peer.connection.reading
    peer.feed(b"PING\r\n" * KIB)
    assert not peer.connection.reading
    assert peer.output() == b""
    peer.session.proceed()
    assert peer.connection.reading
    assert peer.output() == b"PONG\r\n" * (KIB + 1)


def receiver_with_a_full_socket(core: Core, subject: bytes) -> Peer:
    receiver = core.session()
    receiver.feed(b"SUB %s 1\r\n" % subject)
    receiver.session.pause_writing()
    return receiver


def stalled_for(core: Core, subject: bytes) -> Peer:
    """A client that sent more to the subject than its receiver may wait for."""
    sender = core.session()
    sender.feed(pub(subject, bytes(KIB * KIB)) * 2)
    assert not sender.connection.reading
    return sender


def test_senders_go_on_when_the_transport_of_their_receiver_takes_its_output() -> None:
    """They do not wait for the timer, in which an empty socket would have nothing to send."""
    core = Core(payload_bytes=2 * KIB * KIB)
    slow, _ = (receiver_with_a_full_socket(core, subject) for subject in (b"slow", b"stuck"))
    senders = [stalled_for(core, b"slow"), stalled_for(core, b"slow")]
    others = [stalled_for(core, b"stuck")]
    core.end_turn()
    assert not any(each.connection.reading for each in (*senders, *others))
    slow.session.resume_writing()
    core.end_turn()
    assert len(slow.output()) > 4 * KIB * KIB
    assert all(each.connection.reading for each in senders)
    assert not others[0].connection.reading
    core.pending_work.resume_stalled()
    assert others[0].connection.reading


def test_sender_that_is_over_its_share_as_well_waits_for_its_turn() -> None:
    core = Core(payload_bytes=2 * KIB * KIB)
    slow = receiver_with_a_full_socket(core, b"slow")
    sender = stalled_for(core, b"slow")
    sender.session.use_up_share()
    slow.session.resume_writing()
    core.pending_work.flush()
    assert not sender.connection.reading
    core.end_turn()
    assert sender.connection.reading


def test_receiver_that_leaves_does_not_keep_its_senders_waiting() -> None:
    core = Core(payload_bytes=2 * KIB * KIB)
    slow = receiver_with_a_full_socket(core, b"slow")
    sender = stalled_for(core, b"slow")
    slow.session.closed()
    core.end_turn()
    core.pending_work.resume_stalled()
    assert sender.connection.reading
