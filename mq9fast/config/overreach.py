"""Permissions that allow one mailbox more than their pattern seems to name.

A message of the mailbox `tenant` goes by `MSG.tenant` and by `MSG.tenant.urgent`, so `MSG.tenant.*`, which is
to allow the mailboxes `tenant.a` and `tenant.b`, allows `tenant` too. The same holds for `MSG.tenant.>`, and
for `DELETE.tenant.>`, since a DELETE names a message behind the address.
"""

from collections.abc import Iterator, Sequence

from mq9fast._core.protocol.address import is_address
from mq9fast.config.settings import Settings
from mq9fast.config.users import PermissionLists, SubjectLists, as_lists

PREFIX = "$mq9.AI.MAILBOX."
MAILBOX = PREFIX.split(".")[:3]


def overreaching(settings: Settings) -> Iterator[str]:
    """A sentence for each entry of an `allow` that allows a mailbox beside those that it names.

    There is none if another entry of `allow` allows that mailbox as well, or one of `deny` denies it.
    """
    yield from _of_lists(settings.default_permissions, "default_permissions")
    for user in settings.users:
        yield from _of_lists(user.permissions, f"user {user.name!r}")


def _of_lists(lists: PermissionLists | None, whose: str) -> Iterator[str]:
    if lists is not None:
        yield from _of_direction(as_lists(lists.publish), f"{whose}: the publish permission")
        yield from _of_direction(as_lists(lists.subscribe), f"{whose}: the subscribe permission")


def _of_direction(lists: SubjectLists, which: str) -> Iterator[str]:
    allowed = lists.allowed or ()
    entries = {*allowed, *lists.denied}
    for entry in allowed:
        subject, _, queue = entry.partition(" ")
        address = _address_beside(subject.split("."))
        if address is None:
            continue
        beside = f"{PREFIX}DELETE.{address}.*" if ".DELETE." in subject else f"{PREFIX}MSG.{address}"
        if not any(other != entry and _covers(other, beside, queue) for other in entries):
            noun = "mailboxes" if "*" in address else "the mailbox"
            yield (
                f"{which} {entry!r} also covers {noun} {address!r}: "
                f"deny {beside!r} to exclude it, or allow {beside!r} to keep it without this warning"
            )


def _address_beside(tokens: list[str]) -> str | None:
    """The address, which may have `*`, that a pattern covers beside those that it names; None without one."""
    *prefix, last = tokens
    address = ".".join(prefix[4:])
    ends = {"MSG": {"*", ">"}, "DELETE": {">"}}.get("".join(prefix[3:4]), set())
    if prefix[:3] != MAILBOX or last not in ends or not is_address(address.replace("*", "x").encode()):
        return None
    return address


def _covers(entry: str, beside: str, queue: str) -> bool:
    """Whether an entry speaks for all of `beside` in a queue group, "" being none."""
    subject, _, group = entry.partition(" ")
    return group in {"", queue} and _matches(subject.split("."), beside.split("."))


def _matches(pattern: Sequence[str], subject: Sequence[str]) -> bool:
    """Whether all that `subject` stands for, which may have `*`, matches `pattern`."""
    if pattern[-1] == ">":
        pattern, subject = pattern[:-1], subject[: len(pattern) - 1] if len(subject) >= len(pattern) else ()
    return len(pattern) == len(subject) and all(a in {"*", b} for a, b in zip(pattern, subject, strict=True))
