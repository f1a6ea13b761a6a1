"""Sources of a mailbox whose deadline passes while they wait: nothing more of it comes to them."""

from mq9fast._core.mailbox.mailbox import Mailbox
from tests.support.in_memory import Parts, Peer

SUBJECT = b"$mq9.AI.MAILBOX.MSG.old"


def expiring(parts: Parts, messages: int) -> Mailbox:
    mailbox = parts.create(b"old")
    parts.mailbox_index.renew(mailbox, 1)
    sender = parts.session()
    sender.feed(b"PUB %b 1\r\nx\r\n" % SUBJECT * messages)
    parts.end_turn()
    return mailbox


def delivered(peer: Peer) -> int:
    return peer.output().count(b"MSG " + SUBJECT)


def pass_deadline(parts: Parts) -> None:
    parts.advance(2000)


def test_a_reader_whose_socket_was_full_reads_no_further() -> None:
    parts = Parts()
    expiring(parts, 3)
    reader = parts.session()
    reader.session.pause_writing()
    reader.feed(b"SUB %b 1\r\n" % SUBJECT)
    parts.end_turn()
    pass_deadline(parts)
    reader.session.resume_writing()
    parts.end_turn()
    assert delivered(reader) == 0


def test_a_reader_that_waits_for_its_turn_is_given_none() -> None:
    parts = Parts()
    expiring(parts, 3)
    reader = parts.session()
    reader.feed(b"SUB %b 1\r\n" % SUBJECT)
    pass_deadline(parts)
    parts.end_turn()
    assert delivered(reader) == 0


def test_a_deadline_that_did_not_pass_keeps_nothing_back() -> None:
    parts = Parts()
    expiring(parts, 3)
    reader = parts.session()
    reader.session.pause_writing()
    reader.feed(b"SUB %b 1\r\n" % SUBJECT)
    parts.end_turn()
    parts.advance(500)
    reader.session.resume_writing()
    parts.end_turn()
    assert delivered(reader) == 3


def test_a_member_of_a_group_is_given_nothing_that_came_back() -> None:
    parts = Parts()
    expiring(parts, 3)
    first, second = parts.session(), parts.session()
    first.feed(b"SUB %b g 1\r\n" % SUBJECT)
    parts.end_turn()
    assert delivered(first) == 3
    second.feed(b"SUB %b g 1\r\n" % SUBJECT)
    parts.end_turn()
    pass_deadline(parts)
    first.feed(b"UNSUB 1\r\n")
    parts.end_turn()
    assert delivered(second) == 0
