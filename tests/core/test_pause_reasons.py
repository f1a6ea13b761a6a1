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
