"""What is fuzzed: a function that takes any bytes, and inputs to begin with."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

CORPUS = Path(__file__).with_name("corpus")


class Target(NamedTuple):
    """`run` takes any bytes; whatever it raises is a defect. `seeds`: inputs that reach much of the code.
    `words`: what such inputs consist of."""

    name: str
    run: Callable[[bytes], object]
    seeds: Sequence[bytes]
    words: Sequence[bytes] = ()

    def corpus(self) -> list[bytes]:
        """The seeds, and the inputs that are kept in the tree: each was a defect once."""
        kept = sorted((CORPUS / self.name).glob("*")) if (CORPUS / self.name).is_dir() else []
        return [*self.seeds, *(path.read_bytes() for path in kept)]
