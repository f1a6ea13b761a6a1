"""CRC-32C: the processor's instruction and the tables compute the same."""

import random

from hypothesis import given
from hypothesis import strategies as st

from mq9fast._core.testing.storage import crc32c

# More than three times what the instruction reads as one long stream.
LONG = 20_000


def test_crc32c_of_the_standard_check_value() -> None:
    assert crc32c(b"123456789") == crc32c(b"123456789", True) == 0xE3069283


def test_crc32c_of_the_examples_in_rfc_3720() -> None:
    for table in (False, True):
        assert crc32c(bytes(32), table) == 0x8A9136AA
        assert crc32c(b"\xff" * 32, table) == 0x62A8AB43
        assert crc32c(bytes(range(32)), table) == 0x46DD794E


def test_both_implementations_agree_on_data_of_every_size() -> None:
    data = random.Random(0).randbytes(LONG)
    sizes = [*range(1200), *range(1200, LONG, 7), *range(6100, 6200), LONG]
    assert not [size for size in sizes if crc32c(data[:size]) != crc32c(data[:size], True)]


@given(st.binary(max_size=300))
def test_both_implementations_of_crc32c_agree(data: bytes) -> None:
    assert crc32c(data) == crc32c(data, True)
