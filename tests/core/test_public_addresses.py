"""Tests of `MailboxIndex.public_from`: the addresses of public mailboxes, in order."""

from tests.support.in_memory import Core
from tests.support.stored_rows import load_mailbox, mailbox_record


def test_public_mailboxes_are_in_the_order_of_their_addresses() -> None:
    index = Core().mailbox_index
    for address in (b"b", b"a.b", b"c", b"a", b"a-b"):
        index.create(address, True)
        index.create(address + b".private", False)
    assert index.public_from(b"", 100) == [b"a", b"a-b", b"a.b", b"b", b"c"]
    assert index.public_from(b"a-", 2) == [b"a-b", b"a.b"]
    assert index.public_from(b"c\0", 100) == []


def test_ended_mailbox_leaves_and_may_come_back() -> None:
    index = Core().mailbox_index
    index.end(index.create(b"a", True))
    assert index.public_from(b"", 9) == []
    private = index.create(b"a", False)
    assert index.public_from(b"", 9) == []
    index.end(private)
    index.create(b"a", True)
    assert index.public_from(b"", 9) == [b"a"]


def test_mailbox_that_is_past_its_deadline_stays_until_it_is_ended() -> None:
    core = Core()
    mailbox = core.mailbox_index.create(b"a", True)
    core.mailbox_index.renew(mailbox, 1)
    core.advance(2000)
    assert core.mailbox_index.get(b"a") is None
    assert core.mailbox_index.public_from(b"", 9) == [b"a"]
    core.mailbox_index.end(mailbox)
    assert core.mailbox_index.public_from(b"", 9) == []


def test_loaded_mailboxes_are_in_it_and_reloaded_ones_stay() -> None:
    index = Core().mailbox_index
    record = mailbox_record(public=1)
    mailbox = load_mailbox(index, b"a", record)
    load_mailbox(index, b"b", mailbox_record(uid=7))
    assert mailbox.public
    assert index.public_from(b"", 9) == [b"a"]
    index.reload(mailbox, record)
    assert index.public_from(b"", 9) == [b"a"]
    index.reload(mailbox, None)
    assert index.public_from(b"", 9) == []
