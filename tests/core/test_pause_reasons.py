"""The reasons for which a client is paused: it is stalled, over its share, or its CONNECT is pending."""

import pytest

from tests.support.in_memory import KIB, Parts, Peer, pub

MESSAGE = pub(b"$mq9.AI.MAILBOX.MSG.a", b"x")


def parts_with_a_full_group() -> Parts:
    """A core whose commit group has gathered so much that clients which send more are stalled."""
    parts = Parts()
    parts.create(b"a")
    parts.session().feed(pub(b"$mq9.AI.MAILBOX.MSG.a", bytes(KIB * KIB)) * 9)
    return parts


def awaiting_connect(parts: Parts) -> Peer:
    peer = parts.session()
    peer.session.wait()
    return peer


def test_operations_after_a_connect_may_stall_their_client() -> None:
    parts = parts_with_a_full_group()
    peer = awaiting_connect(parts)
    peer.feed(MESSAGE)
    peer.session.proceed()
    assert not peer.connection.reading
    parts.end_turn()
    parts.pending_work.resume_stalled()
    assert peer.connection.reading


@pytest.mark.parametrize("others_first", [True, False])
def test_pause_reasons_are_independent(others_first: bool) -> None:
    parts = parts_with_a_full_group()
    peer = parts.session()
    peer.session.use_up_share()
    peer.feed(MESSAGE)
    peer.session.wait()
    peer.feed(b"PING\r\n" * KIB)
    ends = [parts.end_turn, parts.pending_work.resume_stalled, peer.session.proceed]
    for end in ends if others_first else reversed(ends):
        assert not peer.connection.reading
        end()
    assert peer.connection.reading


def test_4_kib_are_read_ahead_while_connect_is_pending() -> None:
    parts = Parts()
    peer = awaiting_connect(parts)
    peer.feed(b"PING\r\n")
    assert peer.connection.reading
    peer.feed(b"PING\r\n" * KIB)
    assert not peer.connection.reading
    assert peer.output() == b""
    peer.session.proceed()
    assert peer.connection.reading
    assert peer.output() == b"PONG\r\n" * (KIB + 1)
