"""Tests of `MailboxIndex.addresses_after`: a walk over all mailboxes while some of them end."""

from bisect import insort
from random import Random

import pytest

from tests.support.in_memory import Core


@pytest.mark.parametrize("seed", range(5))
def test_walk_finds_all_mailboxes_that_exist_throughout(seed: int) -> None:
    core, random = Core(), Random(seed)
    mailbox_index = core.mailbox_index
    mailboxes = {b"m%d" % number: core.create(b"m%d" % number) for number in range(3000)}
    ending = random.sample(sorted(mailboxes), 1500)
    staying = sorted(mailboxes.keys() - set(ending))
    found: set[bytes] = set()
    end_slot = mailbox_index.slot_count
    while end_slot > 0:
        found.update(mailbox_index.addresses_after(b"m2", None, end_slot, 64))
        end_slot -= 64
        for address in ending[:30]:
            mailbox_index.end(mailboxes[address])
        del ending[:30]
    missed = [address for address in staying if address > b"m2" and address not in found]
    # A few entries around the end of the table may move to a higher slot.
    assert len(missed) <= 2
    assert all(address > b"m2" for address in found)


def test_addresses_are_between_the_bounds() -> None:
    core = Core()
    expected: list[bytes] = []
    for number in range(100):
        core.create(b"m%02d" % number)
        if 10 < number < 20:
            insort(expected, b"m%02d" % number)
    slot_count = core.mailbox_index.slot_count
    assert sorted(core.mailbox_index.addresses_after(b"m10", b"m20", slot_count, slot_count)) == expected
