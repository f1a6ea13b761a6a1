"""Credentials in the cookies of an upgrade: a web page can sign in without knowing them.

`upgrade.py` reads them. The handshake uses them for what a CONNECT leaves out, as nats-server does.
"""

from collections.abc import Sequence
from typing import NamedTuple

from mq9fast.auth.authenticator import Credentials
from mq9fast.config.settings import Settings


class CookieNames(NamedTuple):
    """The names of the cookies with a user name, a password and a token; None for no such cookie."""

    user: str | None
    password: str | None
    token: str | None


def cookie_names(settings: Settings) -> CookieNames:
    return CookieNames(settings.ws_username_cookie, settings.ws_password_cookie, settings.ws_token_cookie)


def read_cookies(headers: Sequence[bytes], names: CookieNames) -> Credentials | None:
    """The credentials in the Cookie headers of a request; None if it has none of these cookies."""
    if not headers or not any(names):
        return None
    found: dict[str, str] = {}
    for part in b";".join(headers).decode("latin-1").split(";"):
        name, _, value = part.strip(" \t").partition("=")
        value = value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
        if _is_valid(value):
            # Of several cookies with one name the last counts, as on nats-server.
            found[name] = value
    user, password, token = (found.get(name) if name else None for name in names)
    if not (user or password or token):
        return None
    return Credentials(user=user, password=password, auth_token=token)


def _is_valid(value: str) -> bool:
    """Whether a cookie may have this value (RFC 6265, 4.1.1). Blanks and commas are let through."""
    return all(" " <= character < "\x7f" and character not in '";\\' for character in value)
