"""The console: static files of the package, as responses to plain GET requests on the WebSocket port.

`make console` builds the files, each compressed, into `mq9fast/console/`. `upgrade.py` passes on the requests
that ask for no upgrade. The page speaks NATS over the same port, with the permissions of its user.
"""

import functools
import gzip
import hashlib
import json
import re
from importlib import resources
from typing import NamedTuple

Headers = tuple[tuple[str, str], ...]

COMPRESSED = ".gz"
INDEX = "index.html"
TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}
JSON = "application/json"
PLAIN_TEXT = "text/plain; charset=utf-8"
NOT_BUILT = (
    b"The console is not built in this source tree: run `make console`, which installs Node by itself. "
    b"Wheels and source packages contain it.\n"
)
NOT_FOUND = b"There is no such file: the console is at /.\n"
# Scripts and styles of this origin only, none in the page; messages never become HTML.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'{monitor}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
# Tells the page where the monitoring port is, which its policy allows it to read.
MONITOR = "monitor.json"
MONITOR_URL = re.compile(r"(?P<origin>https?://[A-Za-z0-9.:\[\]-]+)(?:/[A-Za-z0-9._~-]+)*")
ALWAYS: Headers = (
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("vary", "accept-encoding"),
)
# The names of all files but the page contain a hash of their content.
IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"


class Page(NamedTuple):
    """One response, without the headers `content-length` and `connection`."""

    status: int
    headers: Headers
    body: bytes


class File(NamedTuple):
    compressed: bytes
    etag: str


def page(target: str, *, accepts_gzip: bool, known_etags: str, monitor: str = "") -> Page:
    """The response to a GET of `target`. `known_etags`: the header If-None-Match, "" if there is none.

    `monitor`: the URL of the monitoring port, "" if there is none.
    """
    found = MONITOR_URL.fullmatch(monitor)
    monitor, allowed = (monitor, f" {found['origin']}") if found else ("", "")
    status, headers, body = _page(target, accepts_gzip, known_etags, monitor)
    policy = POLICY.format(monitor=allowed)
    return Page(status, (("content-security-policy", policy), *ALWAYS, *headers), body)


def _page(target: str, accepts_gzip: bool, known_etags: str, monitor: str) -> Page:
    found = files()
    name = target.partition("?")[0].removeprefix("/") or INDEX
    if INDEX not in found:
        return _text(NOT_BUILT)
    if name == MONITOR:
        headers: Headers = (("content-type", JSON), ("cache-control", "no-store"))
        return Page(200, headers, json.dumps(monitor).encode())
    if name not in found:
        return _text(NOT_FOUND)
    compressed, etag = found[name]
    etag = f'"{etag}"' if accepts_gzip else f'"{etag}-plain"'
    headers = (
        ("content-type", TYPES[name.rpartition(".")[2]]),
        ("cache-control", REVALIDATE if name == INDEX else IMMUTABLE),
        ("etag", etag),
    )
    if etag in (known.strip().removeprefix("W/") for known in known_etags.split(",")):
        return Page(304, headers, b"")
    if accepts_gzip:
        return Page(200, (*headers, ("content-encoding", "gzip")), compressed)
    return Page(200, headers, gzip.decompress(compressed))


@functools.cache
def files() -> dict[str, File]:
    """The files by name; empty if the console is not built. They are read at the first request."""
    folder = resources.files("mq9fast") / "console"
    if not folder.is_dir():
        return {}
    return {
        each.name.removesuffix(COMPRESSED): _file(each.read_bytes())
        for each in folder.iterdir()
        if each.name.endswith(COMPRESSED)
    }


def _file(compressed: bytes) -> File:
    return File(compressed, hashlib.sha256(compressed).hexdigest()[:32])


def _text(body: bytes) -> Page:
    return Page(404, (("content-type", PLAIN_TEXT), ("cache-control", REVALIDATE)), body)
