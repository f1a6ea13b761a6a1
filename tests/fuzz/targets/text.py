"""Texts that Python reads: config files, cursors, PROXY headers, cookies, origins."""

import base64
import contextlib
import tempfile
from functools import cache
from pathlib import Path

from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast.config.settings import SETTINGS, Settings
from mq9fast.config.sources import load_settings
from mq9fast.errors import CommandError, SettingsError, StartError
from mq9fast.mailbox import list_cursor
from mq9fast.mailbox.board_cursor import BoardCursors
from mq9fast.network.proxy import ProxyError, parse_header
from mq9fast.network.websocket.cookies import CookieNames, read_cookies
from mq9fast.network.websocket.origins import Origins
from tests.fuzz.target import Target
from tests.settings.inputs import sentence
from tests.support.in_memory import Core
from tests.support.proxy_headers import BAD, GOOD

FILES = Path(__file__).parents[2]
# Removed at the end of the process.
_DIRECTORY = tempfile.TemporaryDirectory(prefix="fuzz-")
SCRATCH = Path(_DIRECTORY.name)


def load_config(data: bytes) -> None:
    path = SCRATCH / "any.toml"
    path.write_bytes(data)
    try:
        load_settings(["--config", str(path)], {})
    except SettingsError as error:
        sentence(error)


@cache
def _mailbox() -> Mailbox:
    return Core().create(b"a.b")


def read_cursors(data: bytes) -> None:
    """As a cursor, and as what a cursor contains."""
    for text in (data.decode("latin-1"), base64.urlsafe_b64encode(data).decode()):
        for newest_first in (False, True):
            with contextlib.suppress(CommandError):
                position = list_cursor.read(text, _mailbox(), newest_first=newest_first)
                assert position.rank < 11 and position.msg_id <= list_cursor.LARGEST_ID
        with contextlib.suppress(CommandError):
            BoardCursors().read(text)


def read_proxy_header(data: bytes) -> None:
    try:
        found = parse_header(data)
    except ProxyError:
        return
    if found is not None:
        assert found.size <= len(data)
        assert parse_header(data + b"more") == found
        assert all(parse_header(data[:size]) is None for size in range(found.size))


def read_request_headers(data: bytes) -> None:
    read_cookies(data.split(b"\n"), CookieNames("user", "password", "token"))
    text = data.decode("latin-1")
    for settings in (Settings(ws_origins=text), Settings(ws_same_origin=True)):
        with contextlib.suppress(StartError):
            origins = Origins(settings)
            for secure in (False, True):
                origins.allow(text, "host:80", secure=secure)
                origins.allow("https://host", text, secure=secure)


def _cursor_seeds() -> list[bytes]:
    position = list_cursor.begin(_mailbox(), newest_first=False)
    cursors = [
        list_cursor.write_next(_mailbox(), position),
        list_cursor.write_end(_mailbox(), position),
        BoardCursors().write(b"a.b", is_shown=True),
        BoardCursors().write(b"a.b", is_shown=False),
    ]
    return [*cursors, *(base64.urlsafe_b64decode(each + b"=" * (-len(each) % 4)) for each in cursors)]


_CONFIGS = [path.read_bytes() for path in sorted((FILES / "wire").glob("*.toml"))]
_CONFIG_WORDS = [
    *(f"{row.name} = ".encode() for row in SETTINGS),
    *(b"true", b"false", b'"x"', b"[", b"]", b"{", b"}", b"\n", b"'''", b"#", b"1e9", b"-1", b"inf", b"0x1"),
    *(b"[[users]]\n", b"[users.permissions]\n", b'publish = ["a.>"]\n', b'user = "u"\n', b'password = "p"\n'),
    *(b"2026-01-01", b"\\u0000", b"\\uD800", b'nkey = "U"\n', b"system = true\n"),
]
_ORIGIN_WORDS = [
    b"https://",
    b"http://",
    b":443",
    b"[::1]",
    b",",
    b"user=",
    b";",
    b'"',
    b"@",
    b"?",
    b"#",
    b"%00",
]
TARGETS = [
    Target("config", load_config, [*_CONFIGS, b"port = 4222\nsync = 'never'\n"], _CONFIG_WORDS),
    Target("cursors", read_cursors, _cursor_seeds(), [b"=", b"-", b"_", b"s", b"p", b"\xff" * 8]),
    Target(
        "proxy",
        read_proxy_header,
        [*GOOD, *BAD],
        [b"PROXY ", b"TCP4 ", b"TCP6 ", b"::1", b"1.2.3.4 ", b"\r\n"],
    ),
    Target("origins", read_request_headers, [b"user=a; token=b", b"https://a.example:8443"], _ORIGIN_WORDS),
]
