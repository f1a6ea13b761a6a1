"""When a session is not to be read from: stalled, waiting for the verdict on its CONNECT, past its share."""

import pytest

from tests.support.in_memory import KIB, Parts, Peer, pub

MESSAGE = pub(b"$mq9.AI.MAILBOX.MSG.a", b"x")


def parts_with_a_full_turn() -> Parts:
    """A turn that has gathered so much that who adds to it is stalled."""
    parts = Parts()
    parts.create(b"a")
    parts.session().feed(pub(b"$mq9.AI.MAILBOX.MSG.a", bytes(KIB * KIB)) * 9)
    return parts


def waiting(parts: Parts) -> Peer:
    peer = parts.session()
    peer.session.wait()
    return peer


def test_what_followed_a_connect_may_stall_its_sender() -> None:
    parts = parts_with_a_full_turn()
    peer = waiting(parts)
    peer.feed(MESSAGE)
    peer.session.proceed()
    assert not peer.connection.reading
    parts.end_turn()
    parts.pending_work.resume_stalled()
    assert peer.connection.reading


@pytest.mark.parametrize("others_first", [True, False])
def test_no_reason_to_wait_ends_with_another(others_first: bool) -> None:
    parts = parts_with_a_full_turn()
    peer = parts.session()
    peer.session.use_up_quota()
    peer.feed(MESSAGE)
    peer.session.wait()
    peer.feed(b"PING\r\n" * KIB)
    ends = [parts.end_turn, parts.pending_work.resume_stalled, peer.session.proceed]
    for end in ends if others_first else reversed(ends):
        assert not peer.connection.reading
        end()
    assert peer.connection.reading


def test_who_waits_is_read_from_as_far_as_it_takes_to_see_it_leave() -> None:
    parts = Parts()
    peer = waiting(parts)
    peer.feed(b"PING\r\n")
    assert peer.connection.reading
    peer.feed(b"PING\r\n" * KIB)
    assert not peer.connection.reading
    assert peer.output() == b""
    peer.session.proceed()
    assert peer.connection.reading
    assert peer.output() == b"PONG\r\n" * (KIB + 1)
