"""Says which messages a range of keys that cannot be read may have had."""

from collections.abc import Iterator, Mapping

from mq9fast._core.storage.record import DELAYED_RANK, MAILBOXES, MESSAGES
from mq9fast.maintenance.report import Problem
from mq9fast.maintenance.stored_rows import DUE_ROWS, PRIORITIES
from mq9fast.storage import layout
from mq9fast.storage.layout import RANKS

_ROWS = {
    MAILBOXES: "records of mailboxes",
    layout.VERSION_KEY: "the format of the store",
    layout.NEXT_UID_KEY: "the number of the next mailbox",
    layout.ID_EPOCH_KEY: "the id epoch",
    layout.COUNT_KEY: "the count of mailboxes",
    layout.HASH_KEY: "the key of the hashes of Nats-Msg-Ids",
    layout.PURGES: "the rows of mailboxes that have ended",
    layout.SEGMENTS: "the list of segments",
    DUE_ROWS: "due rows",
}


def describe_gap(first: bytes, end: bytes, reason: str, names: Mapping[int, str]) -> Iterator[Problem]:
    """The problems that a gap from the key `first` up to but not `end` is: one for each mailbox in it.

    `names`: the addresses of mailboxes, by uid.
    """
    if first[:1] != MESSAGES:
        what = _ROWS.get(first[:1], "rows")
        if first[:1] == MAILBOXES:
            what += f" from {_shown(first)} on" + (f" up to {_shown(end)}" if end[:1] == MAILBOXES else "")
        yield Problem(f"{what} cannot be read: {reason}")
        return
    first_uid, last_uid = _uid(first), _uid(end)
    uids = [uid for uid in names if first_uid <= uid <= last_uid]
    if not uids:
        yield Problem(f"messages cannot be read: {reason}")
    for uid in sorted(uids):
        begin = first if uid == first_uid else b""
        stop = end if uid == last_uid else b""
        rank = begin[9] if len(begin) > 9 else 0
        last_rank = stop[9] if len(stop) > 9 else RANKS
        same = rank == last_rank and _priority(rank) is not None
        yield Problem(
            f"messages cannot be read: {reason}",
            mailbox=names[uid],
            priority=PRIORITIES[_priority(rank) or 0] if same else "",
            first_id=_msg_id(begin) if same else None,
            last_id=_msg_id(stop) if same else None,
        )


def _priority(rank: int) -> int | None:
    rank = rank - DELAYED_RANK if rank >= DELAYED_RANK else rank
    return rank if rank < RANKS else None


def _uid(key: bytes) -> int:
    return int.from_bytes(key[1:9].ljust(8, b"\0"), "big") if key[:1] == MESSAGES else (1 << 64) - 1


def _msg_id(key: bytes) -> int | None:
    return int.from_bytes(key[10:18].ljust(8, b"\0"), "big") if len(key) > 10 else None


def _shown(key: bytes) -> str:
    return repr(key[1:].rstrip(b"\0").decode("ascii", "replace"))
