"""The set of uids finds what was put in, and nothing else."""

import random

from mq9fast._core.mailbox.uid_set import UidSet


def test_it_holds_what_was_put_in() -> None:
    chance = random.Random(1)
    uids = UidSet()
    uids.sort()
    assert 0 not in uids and len(uids) == 0
    put = {chance.randrange(2**64) for _ in range(1000)} | {0, 1, 2**64 - 1}
    for uid in put:
        uids.add(uid)
    uids.sort()
    assert len(uids) == len(put)
    assert all(uid in uids for uid in put)
    assert not any(uid + 1 in uids for uid in put - {2**64 - 1} if uid + 1 not in put)
