"""The JSON of CONNECT, read as nats-server's JSON library does: names may be in any case, the last of several
fields counts, null changes nothing, and bytes that are not UTF-8 are replaced."""

import re
from typing import Annotated, Any, get_args

import msgspec
from msgspec import Meta

from mq9fast.auth.authenticator import Credentials

# Go's int, which is what is read from a number.
Int = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
# Besides capitals, letters that fold to ASCII ones in Unicode: the long s and the sign of Kelvin.
FOLDED = str.maketrans({"\u017f": "s", "\u212a": "k"})
# What Python makes of bytes that are not UTF-8, and of escapes that are half a character.
HALF = re.compile("[\ud800-\udfff]")


class ConnectOptions(Credentials, forbid_unknown_fields=True):
    """The options of CONNECT. What is absent stays as it was before."""

    verbose: bool | None = None
    pedantic: bool | None = None
    echo: bool | None = None
    headers: bool | None = None
    no_responders: bool | None = None
    account: str | None = None
    protocol: Int | None = None
    # Shown by monitoring.
    name: str | None = None
    lang: str | None = None
    version: str | None = None
    # Without effect here, and of these types.
    tls_required: bool | None = None
    jwt: str | None = None
    new_account: bool | None = None
    remote_account: str | None = None
    proxy_sig: str | None = None

    @property
    def has_credentials(self) -> bool:
        """Whether it has credentials."""
        return not (self.user is self.password is self.auth_token is self.nkey is None)


# The type that each field has unless it is absent.
TYPES = {
    field.encode_name: int if field.type == Int | None else get_args(field.type)[0]
    for field in msgspec.structs.fields(ConnectOptions)
}


def read_options(text: bytes) -> ConnectOptions:
    """The options that a CONNECT gives; ValueError if they cannot be read."""
    if b"null" not in text:
        try:
            return msgspec.json.decode(text, type=ConnectOptions)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # What nearly every client sends is read by now.
            pass
    try:
        return _read_slowly(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _read_slowly(text: bytes) -> ConnectOptions:
    # Imported for the clients that need it: a start is to be quick.
    import json

    decoded = text.decode("utf-8", "surrogateescape")
    loaded = json.loads(HALF.sub("\ufffd", decoded), object_pairs_hook=_Fields, parse_constant=_refuse)
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
            # Also where a later field of this name is right.
            raise ValueError(f"{folded} is of the wrong type")
        options[folded] = HALF.sub("\ufffd", value) if isinstance(value, str) else value
    return msgspec.convert(options, ConnectOptions)


class _Fields(list[tuple[str, Any]]):
    """The fields of an object in their order, several of one name included."""


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
