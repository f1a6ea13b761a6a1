"""Parses the JSON of CONNECT as nats-server's JSON library does. `handshake.py` calls it, for each CONNECT.

Field names may be in any case, the last of several equal ones counts, null is ignored, and bytes that are not
UTF-8 are replaced.
"""

import re
from typing import Annotated, Any, get_args

import msgspec
from msgspec import Meta

from mq9fast.auth.authenticator import Credentials

# nats-server reads a number into a Go int.
GoInt = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
# Unicode case folding makes these two letters ASCII: the long s and the Kelvin sign.
FOLDED = str.maketrans({"\u017f": "s", "\u212a": "k"})
# Python decodes bytes that are not UTF-8, and incomplete escapes of a character, to these.
SURROGATE = re.compile("[\ud800-\udfff]")


class ConnectOptions(Credentials, forbid_unknown_fields=True):
    """The options of a CONNECT. None means that it is absent, and the session keeps what it had."""

    verbose: bool | None = None
    pedantic: bool | None = None
    echo: bool | None = None
    headers: bool | None = None
    no_responders: bool | None = None
    account: str | None = None
    protocol: GoInt | None = None
    # Shown by monitoring.
    name: str | None = None
    lang: str | None = None
    version: str | None = None
    # Checked for their type only.
    tls_required: bool | None = None
    jwt: str | None = None
    new_account: bool | None = None
    remote_account: str | None = None
    proxy_sig: str | None = None

    def complete(self, cookies: Credentials) -> None:
        """Take what is missing or empty from the cookies, as nats-server does."""
        self.user = self.user or cookies.user
        self.password = self.password or cookies.password
        self.auth_token = self.auth_token or cookies.auth_token

    @property
    def has_credentials(self) -> bool:
        """Whether CONNECT has a user, password, token or NKEY."""
        return not (self.user is self.password is self.auth_token is self.nkey is None)


# The type of each field's value.
TYPES = {
    field.encode_name: int if field.type == GoInt | None else get_args(field.type)[0]
    for field in msgspec.structs.fields(ConnectOptions)
}


def read_options(text: bytes) -> ConnectOptions:
    """Parse the JSON of a CONNECT. Raises ValueError."""
    if b"null" not in text:
        try:
            return msgspec.json.decode(text, type=ConnectOptions)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # The JSON of nearly every client was parsed above.
            pass
    try:
        return _read_slowly(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _read_slowly(text: bytes) -> ConnectOptions:
    # Imported late, to start faster: few clients need it.
    import json

    decoded = text.decode("utf-8", "surrogateescape")
    loaded = json.loads(SURROGATE.sub("\ufffd", decoded), object_pairs_hook=_Fields, parse_constant=_reject)
    if loaded is None:
        return ConnectOptions()
    if not isinstance(loaded, _Fields):
        raise ValueError("not an object")
    options: dict[str, Any] = {}
    for name, value in loaded:
        folded = name.translate(FOLDED).lower()
        if folded not in TYPES or value is None:
            continue
        if type(value) is not TYPES[folded]:
            # Even if a later field of this name has the right type.
            raise ValueError(f"{folded} is of the wrong type")
        options[folded] = SURROGATE.sub("\ufffd", value) if isinstance(value, str) else value
    return msgspec.convert(options, ConnectOptions)


class _Fields(list[tuple[str, Any]]):
    """The fields of an object, in order, with repeated names."""


def _reject(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
