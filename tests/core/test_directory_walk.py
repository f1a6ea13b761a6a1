"""Looking through all mailboxes, some places at a time, while others come and go."""

from bisect import insort
from random import Random

import pytest

from tests.support.in_memory import Parts


@pytest.mark.parametrize("seed", range(5))
def test_mailboxes_that_stay_are_found_whatever_comes_and_goes(seed: int) -> None:
    parts, random = Parts(), Random(seed)
    directory = parts.mailbox_index
    mailboxes = {b"m%d" % number: parts.open(b"m%d" % number) for number in range(3000)}
    leaving = random.sample(sorted(mailboxes), 1500)
    staying = sorted(mailboxes.keys() - set(leaving))
    found: set[bytes] = set()
    place = directory.places
    while place > 0:
        found.update(directory.addresses_behind(b"m2", None, place, 64))
        place -= 64
        for address in leaving[:30]:
            directory.end(mailboxes[address])
        del leaving[:30]
    missed = [address for address in staying if address > b"m2" and address not in found]
    # Those around the end of the table may move the other way.
    assert len(missed) <= 2
    assert all(address > b"m2" for address in found)


def test_only_addresses_before_the_bound_are_asked_for() -> None:
    parts = Parts()
    expected: list[bytes] = []
    for number in range(100):
        parts.open(b"m%02d" % number)
        if 10 < number < 20:
            insort(expected, b"m%02d" % number)
    places = parts.mailbox_index.places
    assert sorted(parts.mailbox_index.addresses_behind(b"m10", b"m20", places, places)) == expected
