"""What is typed on the command line, read into the client's types."""

import re
import sys
from datetime import datetime
from typing import Any, NoReturn

import typer

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def seconds(text: str | float) -> float:
    """A duration such as 90, 90s, 1h30m or 2d, in seconds. Raises typer.BadParameter."""
    if not isinstance(text, str):  # a default
        return text
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if not re.fullmatch(rf"({_PART.pattern})+", text):
        _wrong(f"'{text}' is not a duration such as 90s, 1h30m or 2d")
    return float(sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text)))


def whole_seconds(text: str) -> int:
    value = seconds(text)
    if value != int(value):
        _wrong(f"'{text}' is not a whole number of seconds")
    return int(value)


def due(text: str) -> float | datetime:
    """A duration, or a time such as 2026-01-31T12:00:00Z. Raises typer.BadParameter."""
    if "T" not in text:
        return seconds(text)
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone()
    except ValueError:
        _wrong(f"'{text}' is not a time such as 2026-01-31T12:00:00Z")


def headers(lines: list[str] | None) -> dict[str, str]:
    """Headers from texts such as 'Name: value'. Raises typer.BadParameter."""
    found = {}
    for line in lines or []:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            _wrong(f"'{line}' is not a header such as 'Name: value'")
        found[name.strip()] = value.strip()
    return found


def body(text: str) -> bytes:
    """The body: the text itself, or standard input for '-'."""
    return sys.stdin.buffer.read() if text == "-" else text.encode()


def given(**options: Any) -> dict[str, Any]:
    """The options that are given: None, and an empty text or list, mean that one is not."""
    return {name: value for name, value in options.items() if value not in (None, "", [], {})}


def _wrong(sentence: str) -> NoReturn:
    raise typer.BadParameter(sentence)
