"""Consumers of a mailbox whose deadline passes while they wait: they get no more of its messages."""

from mq9fast._core.mailbox.mailbox import Mailbox
from tests.support.in_memory import Core, Peer

SUBJECT = b"$mq9.AI.MAILBOX.MSG.old"


def create_expiring(core: Core, messages: int) -> Mailbox:
    mailbox = core.create(b"old")
    core.mailbox_index.renew(mailbox, 1)
    sender = core.session()
    sender.feed(b"PUB %b 1\r\nx\r\n" % SUBJECT * messages)
    core.end_turn()
    return mailbox


def count_delivered(peer: Peer) -> int:
    return peer.output().count(b"MSG " + SUBJECT)


def pass_deadline(core: Core) -> None:
    core.advance(2000)


def test_parked_consumer_gets_nothing_after_the_deadline() -> None:
    core = Core()
    create_expiring(core, 3)
    reader = core.session()
    reader.session.pause_writing()
    reader.feed(b"SUB %b 1\r\n" % SUBJECT)
    core.end_turn()
    pass_deadline(core)
    reader.session.resume_writing()
    core.end_turn()
    assert count_delivered(reader) == 0


def test_queued_consumer_gets_nothing_after_the_deadline() -> None:
    core = Core()
    create_expiring(core, 3)
    reader = core.session()
    reader.feed(b"SUB %b 1\r\n" % SUBJECT)
    pass_deadline(core)
    core.end_turn()
    assert count_delivered(reader) == 0


def test_parked_consumer_gets_messages_before_the_deadline() -> None:
    core = Core()
    create_expiring(core, 3)
    reader = core.session()
    reader.session.pause_writing()
    reader.feed(b"SUB %b 1\r\n" % SUBJECT)
    core.end_turn()
    core.advance(500)
    reader.session.resume_writing()
    core.end_turn()
    assert count_delivered(reader) == 3


def test_returned_messages_are_not_given_out_after_the_deadline() -> None:
    core = Core()
    create_expiring(core, 3)
    first, second = core.session(), core.session()
    first.feed(b"SUB %b g 1\r\n" % SUBJECT)
    core.end_turn()
    assert count_delivered(first) == 3
    second.feed(b"SUB %b g 1\r\n" % SUBJECT)
    core.end_turn()
    pass_deadline(core)
    first.feed(b"UNSUB 1\r\n")
    core.end_turn()
    assert count_delivered(second) == 0
