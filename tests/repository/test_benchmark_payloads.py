"""The payloads of the comparison with peers: JSON text that compresses, with a mark that a client counts."""

import zlib

import pytest

from bench.peers.payloads import MARK, MIN_TEXT_BYTES, payload, payloads

SIZES = [MIN_TEXT_BYTES, 1000, 1 << 10, 4 << 10, 16 << 10, 128 << 10, 1 << 20]


@pytest.mark.parametrize("size", SIZES)
def test_text_shrinks_to_less_than_half(size: int) -> None:
    text = payload(size)
    assert text.startswith(b'[{"file":')
    assert len(zlib.compress(text)) < size / 2


@pytest.mark.parametrize("size", [1, 100, *SIZES])
def test_payload_has_its_size_and_one_mark_at_its_end(size: int) -> None:
    for each in payloads(size)[:10]:
        assert len(each) == size
        assert each.index(MARK) == size - 1


@pytest.mark.parametrize("size", SIZES)
def test_texts_sent_in_turn_differ(size: int) -> None:
    texts = payloads(size)
    assert len({text[: size // 2] for text in texts}) == len(texts) > 1


def test_small_payloads_are_the_same() -> None:
    assert payloads(100) == [payload(100)] == [b"x" * 99 + MARK]
