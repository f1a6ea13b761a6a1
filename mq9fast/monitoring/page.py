"""What a page is: pieces of a body, made one after the other, and the query that asks for it."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Annotated, Any, ClassVar, NamedTuple, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
MAX_PARAMETERS = 32
# Entries that are encoded between two looks at the clock.
PER_PIECE = 64

# A limit or an offset, in the range of Go's int, which nats-server reads it as. Negative: the default.
Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
# The only account there is, by nats-server's name for it.
ACCOUNT = "$G"

T = TypeVar("T")


class Page(NamedTuple):
    """An answer. Making one piece takes less than a millisecond; one may be empty, to let others run."""

    status: int
    content_type: str
    pieces: Iterable[bytes]
    headers: tuple[tuple[str, str], ...] = ()


# Given the query, without the question mark. Raises Refused.
Route = Callable[[str], Page]


class RefusedMessages(Exception):  # noqa: N818
    """There is no such page: `sentence` says why."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence

    def page(self) -> Page:
        """The sentence as a page."""
        return Page(self.status, TEXT, (self.sentence.encode() + b"\n",))


class Query(msgspec.Struct, frozen=True):
    """The parameters of a page, as fields with defaults. `takes` says what each of them must be."""

    takes: ClassVar[dict[str, str]] = {}


Q = TypeVar("Q", bound=Query)


def read_query(text: str, kind: type[Q]) -> Q:
    """Read a query. Of a parameter that is repeated the first counts; unknown and empty ones are passed over.

    Raises Refused (400) with a sentence that names the parameter, and never what was given for it.
    """
    try:
        pairs = parse_qsl(text, errors="replace", max_num_fields=MAX_PARAMETERS)
    except ValueError:
        raise RefusedMessages(400, f"There are more than {MAX_PARAMETERS} parameters.") from None
    try:
        return msgspec.convert(dict(reversed(pairs)), kind, strict=False)
    except msgspec.ValidationError as error:
        name = str(error).partition("`$.")[2].rstrip("`")
        raise RefusedMessages(400, f"The parameter {name} must be {kind.takes[name]}.") from None


def json_page(body: object) -> Page:
    """A small page, made at once."""
    return Page(200, JSON, (msgspec.json.encode(body),))


def json_list(entries: Iterable[object]) -> Iterator[bytes]:
    """The JSON of a list, in pieces."""
    entries = iter(entries)
    before = b"["
    while some := list(islice(entries, PER_PIECE)):
        yield before + msgspec.json.encode(some)[1:-1]
        before = b","
    yield b"[]" if before == b"[" else b"]"


def json_with(fields: Any, name: str, value: Iterable[bytes]) -> Iterator[bytes]:
    """The JSON of an object that has fields, with one more, whose JSON comes in pieces."""
    yield msgspec.json.encode(fields)[:-1] + b',"%b":' % name.encode()
    yield from value
    yield b"}"


def in_order(entries: Iterable[Iterable[bytes]]) -> Iterator[bytes]:
    """The JSON of a list whose entries come in pieces each."""
    before = b"["
    for entry in entries:
        yield before
        yield from entry
        before = b","
    yield b"[]" if before == b"[" else b"]"
