"""The body of a page, made in pieces.

The modules in `pages/` import it to encode JSON. It knows neither HTTP connections
nor the broker.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple, Protocol

import msgspec

JSON = "application/json"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
# Encoding this many entries takes less than a millisecond.
ENTRIES_PER_PIECE = 64

# nats-server's name for its default account. mq9fast has no other.
ACCOUNT = "$G"
SYSTEM_ACCOUNT = "$SYS"


class Page(NamedTuple):
    """A response. Making one piece takes less than a millisecond. An empty piece only lets other work run."""

    status: int
    content_type: str
    pieces: Iterable[bytes]
    headers: tuple[tuple[str, str], ...] = ()


# Gets the query string, without the question mark. Raises HttpError.
Route = Callable[[str], Page]


class PageTable(Protocol):
    """The pages of one port, by path. `requests` counts the requests of each."""

    routes: dict[str, Route]
    requests: Counter[str]


class HttpError(Exception):
    """The request cannot be served: an HTTP status, and a sentence that says why."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence

    def page(self) -> Page:
        """The sentence as a page."""
        return Page(self.status, TEXT, (self.sentence.encode() + b"\n",))


def json_page(body: object, *, status: int = 200) -> Page:
    """A page that is small enough to be encoded at once."""
    return Page(status, JSON, (msgspec.json.encode(body),))


def json_array(entries: Iterable[object]) -> Iterator[bytes]:
    """Encode a list in pieces."""
    entries = iter(entries)
    before = b"["
    while some := list(islice(entries, ENTRIES_PER_PIECE)):
        yield before + msgspec.json.encode(some)[1:-1]
        before = b","
    yield b"[]" if before == b"[" else b"]"


def json_array_of_pieces(entries: Iterable[Iterable[bytes]]) -> Iterator[bytes]:
    """A JSON array whose entries are encoded already, each in pieces."""
    before = b"["
    for entry in entries:
        yield before
        yield from entry
        before = b","
    yield b"[]" if before == b"[" else b"]"


def json_object(fields: Any, name: str, value: Iterable[bytes]) -> Iterator[bytes]:
    """A JSON object with `fields`, and last the field `name`, whose value is encoded already, in pieces."""
    yield msgspec.json.encode(fields)[:-1] + b',"%b":' % name.encode()
    yield from value
    yield b"}"
