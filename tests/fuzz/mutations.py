"""Changes inputs at random: bytes, numbers, words of the target, pieces of other inputs."""

import random
import struct
from collections.abc import Callable, Sequence

MAX_BYTES = 4096
INTERESTING = (0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 65, 127, 128, 255, 256, 1023, 1024, 4095, 4096)
LIMITS = (*INTERESTING, 2**15 - 1, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
MAX_CHANGES = 6


class Mutator:
    """Makes new inputs from known ones. The same `chance` gives the same inputs."""

    def __init__(self, chance: random.Random, words: Sequence[bytes]) -> None:
        self._chance = chance
        self._words = words or [b"\0"]
        self._changes: list[Callable[[bytearray], None]] = [
            self._flip_bit,
            self._set_byte,
            self._set_number,
            self._write_decimal,
            self._delete,
            self._repeat,
            self._insert_word,
            self._insert_word,
            self._replace_with_word,
            self._insert_random,
            self._swap,
        ]

    def mutate(self, data: bytes, other: bytes) -> bytes:
        """A changed `data`, sometimes with a piece of `other`."""
        changed = bytearray(data)
        if self._chance.random() < 0.3:
            self._splice(changed, other)
        for _ in range(self._chance.randint(1, MAX_CHANGES)):
            self._chance.choice(self._changes)(changed)
        return bytes(changed[:MAX_BYTES])

    def _place(self, data: bytearray) -> int:
        return self._chance.randint(0, max(len(data) - 1, 0))

    def _span(self, data: bytearray) -> slice:
        start = self._place(data)
        return slice(start, start + min(self._chance.choice((1, 2, 4, 8, 16, 64, 256)), len(data) - start))

    def _flip_bit(self, data: bytearray) -> None:
        if data:
            data[self._place(data)] ^= 1 << self._chance.randrange(8)

    def _set_byte(self, data: bytearray) -> None:
        if data:
            data[self._place(data)] = self._chance.choice((0, 1, 127, 128, 255, self._chance.randrange(256)))

    def _set_number(self, data: bytearray) -> None:
        """A number of 2, 4 or 8 bytes, as the store and WebSocket frames have them."""
        form = self._chance.choice((">H", ">I", ">Q", "<I", "<Q"))
        size = struct.calcsize(form)
        at = self._place(data)
        if at + size <= len(data):
            data[at : at + size] = struct.pack(form, self._chance.choice(LIMITS) % (1 << 8 * size))

    def _write_decimal(self, data: bytearray) -> None:
        at = self._place(data)
        data[at : at + self._chance.randrange(3)] = b"%d" % self._chance.choice(LIMITS)

    def _delete(self, data: bytearray) -> None:
        del data[self._span(data)]

    def _repeat(self, data: bytearray) -> None:
        piece = data[self._span(data)]
        at = self._place(data)
        data[at:at] = piece * self._chance.choice((1, 1, 2, 9, 70))

    def _insert_word(self, data: bytearray) -> None:
        at = self._chance.randint(0, len(data))
        data[at:at] = self._chance.choice(self._words)

    def _replace_with_word(self, data: bytearray) -> None:
        data[self._span(data)] = self._chance.choice(self._words)

    def _insert_random(self, data: bytearray) -> None:
        at = self._chance.randint(0, len(data))
        data[at:at] = self._chance.randbytes(self._chance.randint(1, 12))

    def _swap(self, data: bytearray) -> None:
        first, second = self._place(data), self._place(data)
        if data:
            data[first], data[second] = data[second], data[first]

    def _splice(self, data: bytearray, other: bytes) -> None:
        start, at = self._chance.randint(0, len(other)), self._chance.randint(0, len(data))
        data[at:] = other[start:]
