"""Payloads: from 256 bytes JSON text as tools return it, which LZ4 shrinks to less than half."""

import random
from functools import cache

MARK = b"~"
MIN_TEXT_BYTES = 256
# Matches of one file, as a search lists them.
MATCHES = 8
# Together at least 100 kB: LZ4 refers back at most 64 KiB, so it cannot find the same text again.
MANY, FEW = 100, 10
FEW_FROM_BYTES = 64 << 10
WORDS = [
    "agent",
    "answer",
    "block",
    "branch",
    "build",
    "cache",
    "change",
    "client",
    "code",
    "column",
    "commit",
    "config",
    "count",
    "data",
    "delete",
    "error",
    "event",
    "field",
    "file",
    "filter",
    "found",
    "function",
    "handler",
    "header",
    "index",
    "input",
    "insert",
    "item",
    "label",
    "length",
    "limit",
    "line",
    "list",
    "load",
    "local",
    "match",
    "merge",
    "message",
    "method",
    "model",
    "module",
    "name",
    "number",
    "object",
    "offset",
    "option",
    "order",
    "output",
    "parse",
    "path",
    "pattern",
    "process",
    "query",
    "queue",
    "range",
    "read",
    "record",
    "reply",
    "report",
    "request",
    "result",
    "return",
    "row",
    "schema",
    "score",
    "search",
    "server",
    "session",
    "size",
    "source",
    "start",
    "state",
    "status",
    "store",
    "string",
    "struct",
    "table",
    "task",
    "test",
    "text",
    "time",
    "token",
    "tool",
    "total",
    "trace",
    "update",
    "user",
    "value",
    "version",
    "window",
    "worker",
    "write",
]


def payload(size: int, number: int = 0) -> bytes:
    """Return a payload that ends in MARK, which occurs nowhere else. `number` selects a text."""
    if size < MIN_TEXT_BYTES:
        return b"x" * (size - 1) + MARK
    return _text(size - 1, random.Random(f"{size} {number}")) + MARK


@cache
def payloads(size: int) -> list[bytes]:
    """Return different payloads to send in turn, or one if they are below 256 bytes."""
    if size < MIN_TEXT_BYTES:
        return [payload(size)]
    return [payload(size, number) for number in range(FEW if size >= FEW_FROM_BYTES else MANY)]


def _text(size: int, choice: random.Random) -> bytes:
    """Return a list of matches, cut at `size`."""
    words = min(5, size // 500)
    parts, length = ["["], 1
    while length < size:
        file = choice.choice(WORDS)
        for _ in range(MATCHES):
            text = " ".join(choice.choices(WORDS, k=words))
            parts.append(f'{{"file":"{file}.py","line":{choice.randrange(1, 3000)},"text":"{text}"}},')
            length += len(parts[-1])
    return "".join(parts).encode()[:size]
