"""Consumers of a mailbox whose deadline passes while they wait: they get no more of its messages."""

from mq9fast._core.mailbox.mailbox import Mailbox
from tests.support.in_memory import Parts, Peer

SUBJECT = b"$mq9.AI.MAILBOX.MSG.old"


def create_expiring(parts: Parts, messages: int) -> Mailbox:
    mailbox = parts.create(b"old")
    parts.mailbox_index.renew(mailbox, 1)
    sender = parts.session()
    sender.feed(b"PUB %b 1\r\nx\r\n" % SUBJECT * messages)
    parts.end_turn()
    return mailbox


def count_delivered(peer: Peer) -> int:
    return peer.output().count(b"MSG " + SUBJECT)


def pass_deadline(parts: Parts) -> None:
    parts.advance(2000)


def test_parked_consumer_gets_nothing_after_the_deadline() -> None:
    parts = Parts()
    create_expiring(parts, 3)
    reader = parts.session()
    reader.session.pause_writing()
    reader.feed(b"SUB %b 1\r\n" % SUBJECT)
    parts.end_turn()
    pass_deadline(parts)
    reader.session.resume_writing()
    parts.end_turn()
    assert count_delivered(reader) == 0


def test_queued_consumer_gets_nothing_after_the_deadline() -> None:
    parts = Parts()
    create_expiring(parts, 3)
    reader = parts.session()
    reader.feed(b"SUB %b 1\r\n" % SUBJECT)
    pass_deadline(parts)
    parts.end_turn()
    assert count_delivered(reader) == 0


def test_parked_consumer_gets_messages_before_the_deadline() -> None:
    parts = Parts()
    create_expiring(parts, 3)
    reader = parts.session()
    reader.session.pause_writing()
    reader.feed(b"SUB %b 1\r\n" % SUBJECT)
    parts.end_turn()
    parts.advance(500)
    reader.session.resume_writing()
    parts.end_turn()
    assert count_delivered(reader) == 3


def test_returned_messages_are_not_given_out_after_the_deadline() -> None:
    parts = Parts()
    create_expiring(parts, 3)
    first, second = parts.session(), parts.session()
    first.feed(b"SUB %b g 1\r\n" % SUBJECT)
    parts.end_turn()
    assert count_delivered(first) == 3
    second.feed(b"SUB %b g 1\r\n" % SUBJECT)
    parts.end_turn()
    pass_deadline(parts)
    first.feed(b"UNSUB 1\r\n")
    parts.end_turn()
    assert count_delivered(second) == 0
