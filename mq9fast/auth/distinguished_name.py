"""Distinguished names (X.500): of a certificate's subject, and as text (RFC 4514).

`auth/certificate.py` compares the subject of a client's certificate with the names of users. A name is a
sequence of relative names, the most special one first, and each of these is a set of attributes.
"""

import re
from collections.abc import Sequence

# Type in lower case, and value.
Attribute = tuple[str, str]
# The relative names in order; the attributes of each are sorted.
Name = tuple[tuple[Attribute, ...], ...]
# A subject as Python's ssl module gives it, the most general relative name first.
Subject = Sequence[Sequence[tuple[str, str]]]

# OpenSSL's name of each attribute type that nats-server knows, and its name in a text.
TYPES = {
    "countryName": "C",
    "stateOrProvinceName": "ST",
    "localityName": "L",
    "streetAddress": "STREET",
    "postalCode": "POSTALCODE",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "commonName": "CN",
    "serialNumber": "SERIALNUMBER",
    "domainComponent": "DC",
}
# The order of the types in `subject_text`, the most special first. A subject may have several values of all
# but the first two.
TEXT_ORDER = ("SERIALNUMBER", "CN", "OU", "O", "POSTALCODE", "STREET", "L", "ST", "C")
SINGLE = TEXT_ORDER[:2]
# An attribute in a text, its value still escaped, and the separator after it.
_ATTRIBUTE = re.compile(
    r"""\ *([^=,+\\]+?)\ *=\ *(?!\#)((?:\\[0-9A-Fa-f]{2}|\\[\ "\#+,;<=>\\]|[^,+\\])*?)\ *(,|\+|\Z)""",
    re.DOTALL | re.VERBOSE,
)
_ESCAPE = re.compile(rb"\\(?:([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_TO_ESCAPE = re.compile(r'[,+"\\<>;]|^[ #]| $')


def subject_name(subject: Subject) -> Name | None:
    """The name of a subject; None if it has an attribute that nats-server does not know."""
    if not all(kind in TYPES for relative in subject for kind, _ in relative):
        return None
    return tuple(
        tuple(sorted((TYPES[kind].lower(), value) for kind, value in relative))
        for relative in reversed(subject)
        if relative
    )


def subject_text(subject: Subject) -> str:
    """The text that Go makes of a subject: always in the same order, and without domain components.

    For example `CN=anna,OU=sales+OU=europe,O=acme`.
    """
    values: dict[str, list[str]] = {}
    for relative in subject:
        for kind, value in relative:
            values.setdefault(TYPES.get(kind, ""), []).append(value)
    parts = []
    for kind in TEXT_ORDER:
        found = values.get(kind, [])
        if kind in SINGLE:
            found = [value for value in found[-1:] if value]
        if found:
            parts.append("+".join(f"{kind}={_escape(value)}" for value in found))
    return ",".join(parts)


def domain_text(subject: Subject) -> str:
    """The domain components of a subject, as `DC=example,DC=org`; "" if it has none."""
    return ",".join(
        f"DC={value}" for relative in subject for kind, value in relative if TYPES.get(kind) == "DC"
    )


def parse_name(text: str) -> Name | None:
    """The name in a text such as `CN=anna, O=acme` (RFC 4514); None if it is not a name."""
    relatives: list[list[Attribute]] = [[]]
    at, separator = 0, ","
    while separator:
        found = _ATTRIBUTE.match(text, at)
        if found is None:
            return None
        kind, value, separator = found.groups()
        relatives[-1].append((kind.lower(), _unescape(value)))
        if separator == ",":
            relatives.append([])
        at = found.end()
    return tuple(tuple(sorted(relative)) for relative in relatives)


def _unescape(value: str) -> str:
    raw = value.encode("utf-8", "surrogatepass")
    return _ESCAPE.sub(lambda it: bytes.fromhex(it[1].decode()) if it[1] else it[2], raw).decode(
        "utf-8", "replace"
    )


def _escape(value: str) -> str:
    return _TO_ESCAPE.sub(r"\\\g<0>", value)
