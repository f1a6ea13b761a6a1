"""The format of the store: all keys and values, the keys' functions, and the checks of the format at a start.

The rest of the broker makes keys with the functions here. `_core/storage/record.pxd` and `record_batch.pxd`
read and write the values.

Numbers are unsigned and big-endian, so that the order of bytes is the order of numbers.

    key                                      value
    'v'                                      version(8)             the format of the whole directory
    'u'                                      next_uid(8) jumps(8)   all smaller uids were given to mailboxes
    'j'                                      jumps(8) random(8)     how often ids were moved on; of this start
    'n'                                      count(8)               mailbox records, or fewer
    's'                                      nothing                after a stop without orphaned messages
    'b' address                              a mailbox record
    'm' uid(8) rank(1) msg_id(8)             a single message; rank 0 critical, 1 urgent, 2 normal
    'm' uid(8) rank(1) last_id(8) 0(1)       a record batch: messages of one commit group
    'm' uid(8) rank(1) last_id(8)            the deletion bitmap of that batch; last_id is its last message's
    'p' uid(8)                               count(8) size(8)       messages of an ended mailbox, to be purged

    A uid is never reused, and an address may be: a mailbox that is created again has a new uid.

    mailbox record
    0      1      2         4              8     16        24            32
    +------+------+---------+--------------+-----+---------+-------------+-------------+
    | 1    | flags| 0       | desc. length | uid | next_id | renewed_ms  | ttl_seconds |
    +------+------+---------+--------------+-----+---------+-------------+-------------+
    40                      64                         88           96                 104
    +-----------------------+--------------------------+------------+------------------+-------------+
    | head of each rank     | count of each rank       | size_bytes | jumps(4) dead(4) | description |
    +-----------------------+--------------------------+------------+------------------+-------------+
    flags: bit 0 public. head: no stored message of that rank has a smaller id. jumps: next_id includes that
    many of the jumps under 'j'; for each further jump a start adds 1 << 32 to next_id. So ids that were lost
    are not given again, and no record has to be rewritten after a loss. The same is true of 'u'. dead: the
    size of deleted messages that record batches still hold, in units of 256 bytes, rounded down.

    message
    0      1   2                   4               8              16
    +------+---+-------------------+---------------+--------------+------------+--------+---------+
    | 1    | 0 | attributes length | header length | created_ms   | attributes | header | payload |
    +------+---+-------------------+---------------+--------------+------------+--------+---------+
    header: as in HMSG, with the `NATS/1.0` line and the blank line at the end. attributes: not written yet,
    and skipped by readers.

    record batch, of 2 to 64 messages
    0      1       2   8                                 8 + 12 * count
    +------+-------+---+---------------------------------+----------------------------+
    | 2    | count | 0 | count times: msg_id(8) end(4)   | messages, each as above    |
    +------+-------+---+---------------------------------+----------------------------+
    end: where the message ends, counted from where the first one begins. The ids of a batch differ by less
    than 1,024, which limits how far a lookup of an id has to search.

    thinned record batch: replaces a batch in which most messages are deleted, under the same key
    0      1       2   8         16                                      16 + 12 * those kept
    +------+-------+---+---------+---------------------------------------+--------------------------------+
    | 4    | count | 0 | kept(8) | for each that is kept: msg_id(8) end(4) | those that are kept            |
    +------+-------+---+---------+---------------------------------------+--------------------------------+
    kept: bit n (1 << n) is set if the n-th message of the original batch is still in it. The deletion bitmap
    has the others as deleted.

    deletion bitmap
    0      1   4            8               16
    +------+---+------------+---------------+
    | 3    | 0 | dead bytes | deleted       |    bit n (1 << n): the n-th message is deleted
    +------+---+------------+---------------+
    dead bytes: the size of deleted messages in the batch, with their entries. Batch and bitmap are deleted
    together with the last message.

A change of the format raises FORMAT_VERSION in `_core/storage/record.pxd`, and must still read all earlier
versions. A broker refuses a directory of a later version, because it could damage data that it does not know.
Format 1 had no record batches. Format 2 had no thinned batches, dead bytes, count and jumps.

Each batch that creates or ends a mailbox also writes the count of mailboxes, so that a start sees whether
records are missing. The count is never larger than the number of records. It is smaller after a failed write
that should have ended a mailbox.
"""

import os
from pathlib import Path

from mq9fast._core.storage.record import format_version
from mq9fast.errors import ReadError, StartError
from mq9fast.storage.store import Store

VERSION_KEY = b"v"
NEXT_UID_KEY = b"u"
COUNT_KEY = b"n"
NO_ORPHANS_KEY = b"s"
MAILBOXES = b"b"
MESSAGES = b"m"
PURGES = b"p"
# The first format with dead bytes in deletion bitmaps and mailbox records.
FIRST_FORMAT_WITH_DEAD_BYTES = 3
JUMPS_KEY = b"j"
MAX_JUMPS = 0xFFFF
# Greater than every key of an mq9fast store.
LAST_KEY = b"\xff"


def number(value: int) -> bytes:
    """The eight bytes of `value` (0 to 2**64 - 1)."""
    return value.to_bytes(8, "big")


def mailbox_key(address: bytes) -> bytes:
    """The key of a mailbox record."""
    return MAILBOXES + address


def purge_key(uid: int) -> bytes:
    """The key of the row that says that the messages of an ended mailbox must still be purged."""
    return PURGES + number(uid)


def messages_of(uid: int) -> tuple[bytes, bytes]:
    """The key range of the messages of a mailbox: the first key, and the first key behind the range."""
    return MESSAGES + number(uid), MESSAGES + number(uid + 1)


def messages_between(uid: int, rank: int, first: int, end: int) -> tuple[bytes, bytes]:
    """The key range of a mailbox's messages of one rank (0 to 2) with ids from `first` up to but not `end`.

    If commit groups began at these ids, the record batches in the range have no other ids.
    """
    start = MESSAGES + number(uid) + bytes([rank])
    return start + number(first), start + number(end)


def uid_of(key: bytes) -> int:
    """The uid of the mailbox to which the message with this key belongs."""
    return int.from_bytes(key[1:9], "big")


def prefix_end(prefix: bytes) -> bytes:
    """The first key behind all keys that begin with `prefix`, which is one byte."""
    return bytes([prefix[0] + 1])


def check_format(store: Store, directory: Path) -> int:
    """Return the format of a store, 0 for a new one, into which this writes the current format.

    Raises StartError for a later format, or the database of another program.
    """
    stored = store.get(VERSION_KEY)
    if stored is None:
        if next(store.scan(b"", LAST_KEY), None) is not None:
            raise not_mq9fast(directory)
        _put_format(store, 0, jumps=0)
        return 0
    version = int.from_bytes(stored, "big")
    if version > format_version():
        raise StartError(
            f"the data directory {directory} has format {version}, but this version of mq9fast only reads "
            f"formats up to {format_version()}: use a newer version"
        )
    return version


def check_count(store: Store, found: int, *, accept_loss: bool) -> int:
    """Compare the number of `found` mailboxes with the stored count; returns how many are missing.

    Raises ReadError if any is missing, or the count is, unless `accept_loss`. With `accept_loss`, ids are
    moved on: a missing mailbox may be created again, and must not give its old ids again. A store of an older
    format gets its count and the new format.
    """
    version, stored = store.get(VERSION_KEY), store.get(COUNT_KEY)
    is_older = version is None or int.from_bytes(version, "big") < format_version()
    count = found if is_older or stored is None else int.from_bytes(stored, "big")
    if not is_older and not accept_loss:
        if stored is None:
            raise ReadError("the count of mailboxes is missing (to start without it, use --accept-loss)")
        if found < count:
            raise ReadError(
                f"{count} mailboxes were stored, but only {found} were found "
                "(to start without the others, use --accept-loss)"
            )
    if is_older:
        _put_format(store, found)
    elif stored is None or found < count:
        _put_format(store, found, jumps=min(stored_jumps(store) + 1, MAX_JUMPS))
    return max(count - found, 0)


def stored_jumps(store: Store) -> int:
    """How often ids were moved on, according to the store."""
    stored = store.get(JUMPS_KEY)
    return int.from_bytes(stored[:8], "big") if stored else 0


def not_mq9fast(directory: Path) -> StartError:
    """The StartError for a directory with the database of another program."""
    return StartError(
        f"the data directory {directory} holds a RocksDB database that is not mq9fast's: "
        "set data_dir to another directory"
    )


def _put_format(store: Store, count: int, *, jumps: int | None = None) -> None:
    batch = store.new_batch()
    if jumps is not None:
        # The random bytes make the first record of the log differ from that of any other store.
        batch.put(JUMPS_KEY, number(jumps) + os.urandom(8))
    batch.put(VERSION_KEY, number(format_version()))
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
