"""Warns of permissions that allow one mailbox more than their pattern seems to name.

A message to the mailbox `tenant` has the subject `MSG.tenant` or `MSG.tenant.urgent`. So `MSG.tenant.*`,
meant for the mailboxes `tenant.a` and `tenant.b`, allows `tenant` as well. So does `MSG.tenant.>`, and so
does `DELETE.tenant.>`, because a DELETE has a msg_id behind the address. `server/process.py` logs these
warnings at a start and after a reload. The functions here only compute.
"""

from collections.abc import Iterator, Sequence

from mq9fast._core.protocol.address import DELETE_PREFIX, MSG_PREFIX, is_address
from mq9fast.config.settings import Settings
from mq9fast.config.users import PermissionLists, SubjectLists, subject_lists

# The last tokens of patterns that match the shorter address as well.
WILDCARDS = {MSG_PREFIX: {"*", ">"}, DELETE_PREFIX: {">"}}


def permission_warnings(settings: Settings) -> Iterator[str]:
    """A warning for each `allow` entry that also allows the mailbox of the shorter address.

    There is no warning if another `allow` entry names that mailbox, or a `deny` entry denies it.
    """
    yield from _of_lists(settings.default_permissions, "default_permissions")
    for user in settings.users:
        yield from _of_lists(user.permissions, f"user {user.name!r}")


def _of_lists(lists: PermissionLists | None, owner: str) -> Iterator[str]:
    if lists is not None:
        yield from _of_direction(subject_lists(lists.publish), f"{owner}: the publish permission")
        yield from _of_direction(subject_lists(lists.subscribe), f"{owner}: the subscribe permission")


def _of_direction(lists: SubjectLists, which: str) -> Iterator[str]:
    allowed = lists.allowed or ()
    entries = {*allowed, *lists.denied}
    for entry in allowed:
        subject, _, queue = entry.partition(" ")
        address = _shorter_address(subject)
        if address is None:
            continue
        is_delete = subject.startswith(DELETE_PREFIX)
        also = f"{DELETE_PREFIX}{address}.*" if is_delete else f"{MSG_PREFIX}{address}"
        if not any(other != entry and _covers(other, also, queue) for other in entries):
            noun = "mailboxes" if "*" in address else "the mailbox"
            yield (
                f"{which} {entry!r} also covers {noun} {address!r}: "
                f"deny {also!r} to exclude it, or allow {also!r} to keep it without this warning"
            )


def _shorter_address(pattern: str) -> str | None:
    """The address before the last wildcard of a pattern, if the pattern matches that mailbox as well.

    The address may contain `*`.
    """
    for prefix, wildcards in WILDCARDS.items():
        if pattern.startswith(prefix):
            address, _, last = pattern.removeprefix(prefix).rpartition(".")
            if last in wildcards and is_address(address.replace("*", "x").encode()):
                return address
    return None


def _covers(entry: str, pattern: str, queue: str) -> bool:
    """Whether an entry covers a whole pattern for subscriptions in a queue group, "" for none."""
    subject, _, group = entry.partition(" ")
    return group in {"", queue} and _matches(subject.split("."), pattern.split("."))


def _matches(pattern: Sequence[str], subject: Sequence[str]) -> bool:
    """Whether `pattern` matches every subject that `subject`, which may contain `*`, matches."""
    if pattern[-1] == ">":
        pattern, subject = pattern[:-1], subject[: len(pattern) - 1] if len(subject) >= len(pattern) else ()
    return len(pattern) == len(subject) and all(a in {"*", b} for a, b in zip(pattern, subject, strict=True))
