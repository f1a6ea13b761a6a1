"""SipHash-2-4 with 128 bits: the vectors of its authors, and a plain model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq9fast._core.testing.base import sip_hash_of
from tests.support.in_memory import MANY

MASK = (1 << 64) - 1
KEY = bytes(range(16))
KEY_NUMBERS = (int.from_bytes(KEY[:8], "little"), int.from_bytes(KEY[8:], "little"))


def hexadecimal(numbers: tuple[int, int]) -> str:
    return b"".join(number.to_bytes(8, "little") for number in numbers).hex()


def model(text: bytes, low: int, high: int) -> tuple[int, int]:
    v = [
        0x736F6D6570736575 ^ low,
        0x646F72616E646F6D ^ high ^ 0xEE,
        0x6C7967656E657261 ^ low,
        0x7465646279746573 ^ high,
    ]

    def rotate(x: int, bits: int) -> int:
        return (x << bits | x >> (64 - bits)) & MASK

    def rounds(count: int) -> None:
        for _ in range(count):
            for a, b, c, d, left, right in ((0, 1, 2, 3, 13, 16), (2, 1, 0, 3, 17, 21)):
                v[a] = (v[a] + v[b]) & MASK
                v[c] = (v[c] + v[d]) & MASK
                v[b] = rotate(v[b], left) ^ v[a]
                v[d] = rotate(v[d], right) ^ v[c]
                v[a] = rotate(v[a], 32)

    padded = text + bytes(-(len(text) + 1) % 8) + bytes([len(text) & 0xFF])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xEE
    rounds(4)
    first = v[0] ^ v[1] ^ v[2] ^ v[3]
    v[1] ^= 0xDD
    rounds(4)
    return first, v[0] ^ v[1] ^ v[2] ^ v[3]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "a3817f04ba25a8e66df67214c7550293"),
        (1, "da87c1d86b99af44347659119b22fc45"),
        (15, "5493e99933b0a8117e08ec0f97cfc3d9"),
        (63, "5150d1772f50834a503e069a973fbd7c"),
    ],
)
def test_vectors_of_the_authors(size: int, expected: str) -> None:
    assert hexadecimal(sip_hash_of(bytes(range(size)), *KEY_NUMBERS)) == expected


@MANY
@given(text=st.binary(max_size=600), low=st.integers(0, MASK), high=st.integers(0, MASK))
def test_hash_agrees_with_the_model(text: bytes, low: int, high: int) -> None:
    assert sip_hash_of(text, low, high) == model(text, low, high)
