"""Reads the query parameters of a page as nats-server does, which uses Go's rules for numbers and booleans.

The modules in `pages/` import it to read their query.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, ClassVar, TypeVar, get_args
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta

from mq9fast.monitoring.page import HttpError

MAX_PARAMETERS = 32
DEFAULT_LIMIT = 1024

# nats-server reads a limit or an offset into a Go int.
GoInt = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
# More digits are wrong in any case, and Python refuses to read very many.
INTEGER = re.compile("[+-]?[0-9]{1,100}")
TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))
# Go ignores a parameter that has one of these.
MALFORMED = re.compile(";|%(?![0-9A-Fa-f]{2})")


class Query(msgspec.Struct, frozen=True):
    """The parameters of a page, as fields with defaults.

    A subclass adds its parameters, and says in `expected` what the value of each must be if it is not true or
    false. `any_case` names parameters that may have words in upper case.
    """

    expected: ClassVar[dict[str, str]] = {}
    any_case: ClassVar[frozenset[str]] = frozenset()


class ListQuery(Query, frozen=True):
    """The parameters of a page with entries."""

    # As on nats-server, 0 and less stand for the default.
    limit: GoInt = DEFAULT_LIMIT

    @property
    def max_entries(self) -> int:
        """How many entries the page may have."""
        return self.limit if self.limit > 0 else DEFAULT_LIMIT


Q = TypeVar("Q", bound=Query)


def wrong_parameter(kind: type[Query], name: str) -> HttpError:
    """The error (400) for a wrong value. It does not repeat the value, which may be private."""
    return HttpError(400, f"The parameter {name} must be {kind.expected.get(name, 'true or false')}.")


def read_query(text: str, kind: type[Q]) -> Q:
    """Read a query string. Of a repeated parameter the first counts. Unknown, malformed and empty ones are
    ignored.

    Raises HttpError (400).
    """
    well_formed = "&".join(pair for pair in text.split("&") if not MALFORMED.search(pair))
    try:
        pairs = parse_qsl(well_formed, errors="replace", max_num_fields=MAX_PARAMETERS)
    except ValueError:
        raise HttpError(400, f"The query has more than {MAX_PARAMETERS} parameters.") from None
    readers = _readers(kind)
    values = {name: readers[name](value) for name, value in reversed(pairs) if name in readers}
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise wrong_parameter(kind, str(error).partition("`$.")[2].rstrip("`")) from None


@cache
def _readers(kind: type[Query]) -> dict[str, Callable[[str], Any]]:
    """What makes a value of the text of each parameter."""
    readers: dict[str, Callable[[str], Any]] = {}
    for field in msgspec.structs.fields(kind):
        types = (field.type, *get_args(field.type))
        name = field.encode_name
        if int in types:
            readers[name] = _integer
        elif bool in types:
            readers[name] = _word_or_boolean if name in kind.any_case else _boolean
        else:
            readers[name] = str.lower if name in kind.any_case else str
    return readers


def _integer(text: str) -> int | str:
    return int(text) if INTEGER.fullmatch(text) else text


def _boolean(text: str) -> bool | str:
    return True if text in TRUE else False if text in FALSE else text


def _word_or_boolean(text: str) -> bool | str:
    value = _boolean(text)
    return value.lower() if isinstance(value, str) else value
