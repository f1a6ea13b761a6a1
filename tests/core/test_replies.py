"""Replies of a commit group: to whom they go if the client has left, or the group has failed."""

import gc

from mq9fast._core.session import Session
from tests.support.in_memory import Core, Peer, pub

MSG = b"$mq9.AI.MAILBOX.MSG."
REPLY = b'MSG inbox 1 12\r\n{"msg_id":0}\r\n'


def core_with_two_clients() -> tuple[Core, Peer, Peer]:
    """The core with a mailbox `b` and two clients that subscribe to `inbox`."""
    core = Core()
    core.create(b"b")
    one, other = core.session(), core.session()
    for peer in (one, other):
        peer.feed(b"SUB inbox 1\r\n")
    core.end_turn()
    return core, one, other


def test_reply_goes_to_the_client_that_sent_the_request() -> None:
    core, one, other = core_with_two_clients()
    one.feed(pub(MSG + b"b", b"x", b"inbox"))
    core.end_turn()
    assert (one.output(), other.output()) == (REPLY, b"")


def test_nobody_gets_the_reply_to_a_client_that_left_before_the_commit() -> None:
    core, one, other = core_with_two_clients()
    one.feed(pub(MSG + b"b", b"x", b"inbox") + pub(b"$mq9.x", b"", b"inbox"))
    one.session.closed()
    core.end_turn()
    assert (one.output(), other.output()) == (b"", b"")
    assert core.mailbox_index.message_count == 1


def test_error_of_a_failed_group_goes_to_the_client_that_sent_the_request() -> None:
    core, one, other = core_with_two_clients()
    gone = core.session()
    for peer in (one, gone):
        peer.feed(pub(MSG + b"b", b"x", b"inbox"))
    gone.session.closed()
    core.delivery.fail(core.accumulator.group, b"failed", False)
    assert (one.output(), other.output()) == (b"MSG inbox 1 6\r\nfailed\r\n", b"")


def test_replies_do_not_keep_a_client_that_left_alive() -> None:
    core, one, _ = core_with_two_clients()

    def sessions() -> int:
        gc.collect()
        return sum(isinstance(thing, Session) for thing in gc.get_objects())

    before = sessions()
    one.feed(pub(MSG + b"b", b"x", b"inbox") * 3)
    one.session.closed()
    del one
    core.end_turn()
    assert sessions() == before - 1
    leaving = core.session()
    leaving.feed(pub(MSG + b"b", b"x", b"inbox") * 3)
    leaving.session.closed()
    del leaving
    core.delivery.fail(core.accumulator.group, b"failed", False)
    assert sessions() == before - 1
