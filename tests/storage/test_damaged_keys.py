"""Keys in the store that no broker writes: a start refuses them, and ends."""

import pytest

from mq9fast._core.storage.record import CorruptRecord
from tests.fuzz.whole_core import WholeCore


@pytest.mark.parametrize(
    "key",
    [
        b"m\x00\x00\x00\x00\x00\x10",
        b"m\x10",
        b"m" + b"\xff" * 8 + b"\x02" + bytes(8),
        b"p\x01",
        b"p" + bytes(8) + b"\x01",
        b"p\x01" + bytes(8),
        b"p" + b"\xff" * 8,
    ],
    ids=repr,
)
def test_a_start_refuses_a_key_of_no_mailbox(key: bytes) -> None:
    with pytest.raises(CorruptRecord, match="a key of"):
        WholeCore({key: bytes(16)})
