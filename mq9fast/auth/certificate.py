"""Finds the user that a client certificate names, in the order of nats-server (`verify_and_map`).

`auth/authenticator.py` has one `CertificateUsers`. The TLS handshake verified the certificate before.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from mq9fast.auth.distinguished_name import (
    Name,
    Subject,
    domain_text,
    parse_name,
    subject_name,
    subject_text,
)

# A certificate as `ssl.SSLObject.getpeercert` returns it.
Certificate = Mapping[str, Any]
# The kinds of alternative names that may be the name of a user, in their order.
ALTERNATIVES = ("email", "DNS", "URI")

# In the DER of a certificate: the tag of its optional version, and the fields between that and the key.
VERSION_TAG = 0xA0
FIELDS_BEFORE_KEY = 5
# The bit of a size that says that the size is in the bytes that follow.
LONG_SIZE = 0x80

User = TypeVar("User")


class CertificateUsers(Generic[User]):
    """Users by name. Names that are distinguished names are parsed once, here."""

    def __init__(self, users: Mapping[str, User]) -> None:
        self._users = users
        self._in_order: dict[Name, list[User]] = {}
        self._in_any_order: dict[Name, list[User]] = {}
        for text, user in users.items():
            name = parse_name(text)
            if name is not None:
                self._in_order.setdefault(name, []).append(user)
                self._in_any_order.setdefault(_sorted(name), []).append(user)

    def find(self, certificate: Certificate, may_connect: Callable[[User], bool]) -> User | None:
        """The first user that the certificate names and that may connect; None if there is none.

        An e-mail address, a DNS name or a URI of the certificate is compared as it is. The subject is
        compared as a distinguished name, first in order and then with its parts in any order, and last as the
        text that Go makes of it.
        """
        return next(filter(may_connect, self._candidates(certificate)), None)

    def _candidates(self, certificate: Certificate) -> Iterator[User]:
        subject: Subject = certificate.get("subject", ())
        yield from self._named(_alternative_names(certificate))
        name = subject_name(subject)
        if name is not None:
            yield from self._in_order.get(name, ())
            yield from self._in_any_order.get(_sorted(name), ())
        text, domain = subject_text(subject), domain_text(subject)
        if domain:
            yield from self._named((f"{text},{domain}",))
        yield from self._named((text,))

    def _named(self, names: "Iterator[str] | tuple[str, ...]") -> Iterator[User]:
        return (self._users[name] for name in names if name in self._users)


def _alternative_names(certificate: Certificate) -> Iterator[str]:
    names = certificate.get("subjectAltName", ())
    for wanted in ALTERNATIVES:
        yield from (name for kind, name in names if kind == wanted)


def _sorted(name: Name) -> Name:
    return tuple(sorted(name))


def public_key_info(der: bytes) -> bytes:
    """The SubjectPublicKeyInfo (DER) of a certificate in DER, which the TLS handshake accepted."""
    _, at, _ = _element(der, 0)  # Certificate
    _, at, _ = _element(der, at)  # TBSCertificate
    tag, _, end = _element(der, at)
    if tag == VERSION_TAG:
        at = end
    for _ in range(FIELDS_BEFORE_KEY):
        at = _element(der, at)[2]
    return der[at : _element(der, at)[2]]


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """The tag of the element at `at`, where its content begins, and where the element ends."""
    tag, size, content = der[at], der[at + 1], at + 2
    if size & LONG_SIZE:
        count = size & ~LONG_SIZE
        size = int.from_bytes(der[content : content + count], "big")
        content += count
    return tag, content, content + size
