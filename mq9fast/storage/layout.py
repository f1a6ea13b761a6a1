"""The keys of the store, and the checks of its format at a start.

`_core/storage/row_format.pxd` has a drawing of all keys and values.

Each batch that creates or ends a mailbox also writes the count of mailboxes, so that a start sees whether
records are missing. The count is never larger than the number of records. It is smaller after a failed write
that should have ended a mailbox.
"""

import os
from pathlib import Path

from mq9fast._core.storage.record import DELAYED_RANK as DELAYED_RANK
from mq9fast._core.storage.record import DELETION_BITMAP_VERSION, FORMAT_VERSION, message_key
from mq9fast._core.storage.record import IDS_RANK as IDS_RANK
from mq9fast._core.storage.record import MAILBOXES as MAILBOXES
from mq9fast._core.storage.record import MAX_ID_EPOCH as MAX_ID_EPOCH
from mq9fast._core.storage.record import MESSAGES as MESSAGES
from mq9fast._core.storage.record import REPLACED_RANK as REPLACED_RANK
from mq9fast._core.storage.record import mailbox_key as mailbox_key
from mq9fast.errors import ReadError, StartError
from mq9fast.storage.store import Store

VERSION_KEY = b"v"
NEXT_UID_KEY = b"u"
COUNT_KEY = b"n"
NO_ORPHANS_KEY = b"s"
HASH_KEY = b"h"
# Of a node of a cluster: see cluster/record.py.
POSITION_KEY = b"r"
HASH_KEY_BYTES = 16
PURGES = b"p"
SEGMENTS = b"l"
# The first format with a value log.
FIRST_FORMAT_WITH_VALUE_LOG = 4
# The first format with dead bytes in deletion bitmaps and mailbox records.
FIRST_FORMAT_WITH_DEAD_BYTES = 3
FIRST_FORMAT_WITH_COUNT = 3
ID_EPOCH_KEY = b"j"
# Priorities of messages.
RANKS = 3
# The key of a single message: no other key under MESSAGES is shorter.
MIN_MESSAGE_KEY_BYTES = 18
LARGEST_UID = (1 << 64) - 1
# Greater than every key of an mq9fast store.
LAST_KEY = b"\xff"


def number(value: int) -> bytes:
    """The eight bytes of `value` (0 to 2**64 - 1)."""
    return value.to_bytes(8, "big")


def purge_key(uid: int) -> bytes:
    """The key of the row that says that the messages of an ended mailbox must still be purged."""
    return PURGES + number(uid)


def segment_key(number: int) -> bytes:
    """The key of the row of a segment of the value log."""
    return SEGMENTS + number.to_bytes(8, "big")


def messages_of(uid: int) -> tuple[bytes, bytes]:
    """The key range of the messages of a mailbox: the first key, and the first key behind the range."""
    end = prefix_end(MESSAGES) if uid == LARGEST_UID else MESSAGES + number(uid + 1)
    return MESSAGES + number(uid), end


def ranks_of(uid: int) -> list[bytes]:
    """The beginnings of the keys of a mailbox's messages, for each rank."""
    return [MESSAGES + number(uid) + bytes([rank]) for rank in range(RANKS)]


def messages_between(uid: int, rank: int, first: int, end: int) -> tuple[bytes, bytes]:
    """The key range of a mailbox's messages of one rank (0 to 2) with ids from `first` up to but not `end`.
    IDS_RANK as the rank: of the rows of Nats-Msg-Ids that came with these messages.

    If commit groups began at these ids, the rows in the range have no other ids.
    """
    return message_key(uid, rank, first), message_key(uid, rank, end)


def replaced_messages(store: Store, uid: int) -> dict[int, int]:
    """The messages of a mailbox that are replaced while members hold them: msg_id to rank. Raises
    StoreError."""
    start, end = message_key(uid, REPLACED_RANK, 0), message_key(uid, REPLACED_RANK + 1, 0)
    return {int.from_bytes(key[10:], "big"): value[0] for key, value in store.scan(start, end)}


def bitmap_key(key: bytes) -> bytes:
    """The key of the deletion bitmap of the row of messages with this key."""
    return key[: len(message_key(0, 0, 0))]


def uid_of(key: bytes) -> int:
    """The uid of the mailbox to which the message with this key belongs."""
    return int.from_bytes(key[1:9], "big")


def msg_id_of(key: bytes) -> int:
    """The msg_id in the key of a row of messages: that of the last one."""
    return int.from_bytes(key[10:18], "big")


def rank_of(key: bytes) -> int:
    """The rank in a key under MESSAGES."""
    return key[9]


def has_messages(key: bytes) -> bool:
    """Whether the row with this key, which is under MESSAGES, has messages, delayed ones included."""
    return rank_of(key) < IDS_RANK or DELAYED_RANK <= rank_of(key) < DELAYED_RANK + RANKS


def is_bitmap(value: bytes) -> bool:
    """Whether it is the deletion bitmap of the record batch that follows."""
    return value[:1] == bytes([DELETION_BITMAP_VERSION])


def prefix_end(prefix: bytes) -> bytes:
    """The first key behind all keys that begin with `prefix`, which is one byte."""
    return bytes([prefix[0] + 1])


def check_format(store: Store, directory: Path) -> int:
    """Return the format of a store, 0 for a new one, into which this writes the current format.

    Raises StartError for a later format, or the database of another program.
    """
    version = check_version(store, directory)
    if version == 0:
        if any(key != POSITION_KEY for key, _ in store.scan(b"", LAST_KEY)):
            raise not_mq9fast(directory)
        _put_format(store, 0, id_epoch=0)
    return version


def check_version(store: Store, directory: Path) -> int:
    """Return the format of a store, 0 if it has none. Raises StartError for a later format."""
    version = int.from_bytes(store.get(VERSION_KEY) or b"", "big")
    if version > FORMAT_VERSION:
        raise StartError(
            f"the data directory {directory} has format {version}, but this version of mq9fast only reads "
            f"formats up to {FORMAT_VERSION}: use a newer version"
        )
    return version


def check_count(store: Store, found: int, *, accept_loss: bool) -> int:
    """Compare the number of `found` mailboxes with the stored count; returns how many are missing.

    Raises ReadError if any is missing, or the count is, unless `accept_loss`. With `accept_loss`, ids are
    moved on: a missing mailbox may be created again, and must not give its old ids again. A store of an older
    format gets the new format, and a count if it has none.
    """
    version, stored = int.from_bytes(store.get(VERSION_KEY) or b"", "big"), store.get(COUNT_KEY)
    has_count = version >= FIRST_FORMAT_WITH_COUNT
    count = int.from_bytes(stored, "big") if has_count and stored is not None else found
    if has_count and not accept_loss:
        if stored is None:
            raise ReadError("the count of mailboxes is missing (to start without it, use --accept-loss)")
        if found < count:
            raise ReadError(
                f"{count} mailboxes were stored, but only {found} were found "
                "(to start without the others, use --accept-loss)"
            )
    if has_count and (stored is None or found < count):
        _put_format(store, found, id_epoch=min(stored_id_epoch(store) + 1, MAX_ID_EPOCH))
    elif version < FORMAT_VERSION:
        _put_format(store, found)
    return max(count - found, 0)


def stored_id_epoch(store: Store) -> int:
    """The id epoch, according to the store."""
    stored = store.get(ID_EPOCH_KEY)
    return int.from_bytes(stored[:8], "big") if stored else 0


def hash_key(store: Store) -> bytes:
    """The secret key of the store, HASH_KEY_BYTES long, for hashes of what clients choose. A new store gets
    one."""
    stored = store.get(HASH_KEY)
    if stored is None:
        stored = os.urandom(HASH_KEY_BYTES)
        batch = store.new_batch()
        batch.put(HASH_KEY, stored)
        store.write(batch)
    return stored


def not_mq9fast(directory: Path) -> StartError:
    """The StartError for a directory with the database of another program."""
    return StartError(
        f"the data directory {directory} holds a RocksDB database that is not mq9fast's: "
        "set data_dir to another directory"
    )


def _put_format(store: Store, count: int, *, id_epoch: int | None = None) -> None:
    batch = store.new_batch()
    if id_epoch is not None:
        # The random bytes make the first record of the log differ from that of any other store.
        batch.put(ID_EPOCH_KEY, number(id_epoch) + os.urandom(8))
    batch.put(VERSION_KEY, number(FORMAT_VERSION))
    batch.put(COUNT_KEY, number(count))
    store.write(batch)


def has_no_orphans(store: Store) -> bool:
    """Whether the last broker stopped, and recorded that the store has no orphaned messages."""
    return store.get(NO_ORPHANS_KEY) is not None


def clear_no_orphans(store: Store) -> None:
    """Delete that record, because a broker that serves may leave orphaned messages."""
    batch = store.new_batch()
    batch.delete(NO_ORPHANS_KEY)
    store.write(batch)
