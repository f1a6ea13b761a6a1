"""Tests of `mailbox/uid_set`."""

import random

from mq9fast._core.mailbox.uid_set import UidSet


def test_set_contains_exactly_the_added_uids() -> None:
    rng = random.Random(1)
    uids = UidSet()
    uids.sort()
    assert 0 not in uids and len(uids) == 0
    added = {rng.randrange(2**64) for _ in range(1000)} | {0, 1, 2**64 - 1}
    for uid in added:
        uids.add(uid)
    uids.sort()
    assert len(uids) == len(added)
    assert all(uid in uids for uid in added)
    assert not any(uid + 1 in uids for uid in added - {2**64 - 1} if uid + 1 not in added)
