"""The body of a page, made in pieces, and the query parameters that ask for it.

The modules in `pages/` import it to read their query and to encode JSON. It knows neither HTTP connections
nor the broker.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta

JSON = "application/json"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
MAX_PARAMETERS = 32
DEFAULT_LIMIT = 1024
# Encoding this many entries takes less than a millisecond.
ENTRIES_PER_PIECE = 64

# nats-server reads a limit or an offset into a Go int.
GoInt = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
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


class Query(msgspec.Struct, frozen=True):
    """The parameters of a page with entries, as fields with defaults.

    A subclass adds its parameters, and says in `expected` what the value of each must be.
    """

    # As on nats-server, 0 and less stand for the default.
    limit: GoInt = DEFAULT_LIMIT

    expected: ClassVar[dict[str, str]] = {}

    @property
    def max_entries(self) -> int:
        """How many entries the page may have."""
        return self.limit if self.limit > 0 else DEFAULT_LIMIT


Q = TypeVar("Q", bound=Query)


def wrong_parameter(kind: type[Query], name: str) -> HttpError:
    """The error (400) for a wrong value. It does not repeat the value, which may be private."""
    return HttpError(400, f"The parameter {name} must be {kind.expected[name]}.")


def read_query(text: str, kind: type[Q]) -> Q:
    """Read a query string. Of a repeated parameter the first counts. Unknown and empty ones are ignored.

    Raises HttpError (400).
    """
    try:
        pairs = parse_qsl(text, errors="replace", max_num_fields=MAX_PARAMETERS)
    except ValueError:
        raise HttpError(400, f"The query has more than {MAX_PARAMETERS} parameters.") from None
    try:
        return msgspec.convert(dict(reversed(pairs)), kind, strict=False)
    except msgspec.ValidationError as error:
        raise wrong_parameter(kind, str(error).partition("`$.")[2].rstrip("`")) from None


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
