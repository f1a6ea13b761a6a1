"""What is stored, drawn. Numbers are unsigned and big-endian, so that order of bytes is order of numbers.

    key                                      value
    'v'                                      version(8)             the format of the whole directory
    'u'                                      next_uid(8) jumps(8)   uids below were given to mailboxes
    'j'                                      jumps(8) random(8)     how often ids were moved on; of this start
    'n'                                      count(8)               mailbox records, or fewer
    's'                                      nothing                after a stop that left no row unowned
    'b' address                              a mailbox record
    'm' uid(8) rank(1) msg_id(8)             a message that came alone; rank 0 critical, 1 urgent, 2 normal
    'm' uid(8) rank(1) last_id(8) 0(1)       a run: messages that came in one turn, under the id of the last
    'm' uid(8) rank(1) last_id(8)            the mark of that run, once something of it is deleted
    'p' uid(8)                               count(8) size(8)       an ended mailbox's messages, to be dropped

    mailbox record
    0      1      2         4              8     16        24            32
    +------+------+---------+--------------+-----+---------+-------------+-------------+
    | 1    | flags| 0       | desc. length | uid | next_id | renewed_ms  | ttl_seconds |
    +------+------+---------+--------------+-----+---------+-------------+-------------+
    40                      64                         88           96                 104
    +-----------------------+--------------------------+------------+------------------+-------------+
    | head of each rank     | count of each rank       | size_bytes | jumps(4) dead(4) | description |
    +-----------------------+--------------------------+------------+------------------+-------------+
    flags: bit 0 public. head: no stored message of that rank has a smaller id. jumps: that many of the jumps
    under 'j' are in next_id. Where it is less, next_id is moved on by 1 << 32 for each of the rest. So a loss
    that may have taken ids makes none of them be given again, and rewrites no record. The same goes for 'u'.
    dead: what deleted messages still take of runs, in units of 256 bytes, rounded down.

    message
    0      1   2                   4               8              16
    +------+---+-------------------+---------------+--------------+------------+--------+---------+
    | 1    | 0 | attributes length | header length | created_ms   | attributes | header | payload |
    +------+---+-------------------+---------------+--------------+------------+--------+---------+
    The header lies as it goes out in HMSG, `NATS/1.0` line and closing blank line included. No attributes are
    written yet, and those that are found are passed over.

    run, of 2 to 64 messages
    0      1       2   8                                 8 + 12 * count
    +------+-------+---+---------------------------------+----------------------------+
    | 2    | count | 0 | count times: msg_id(8) end(4)   | messages, each as above    |
    +------+-------+---+---------------------------------+----------------------------+
    end: where the message ends, counted from where the first begins. The ids of a run differ by less
    than 1,024: who looks for a message looks no further.

    thinned run, under the key of the run that it was
    0      1       2   8         16                                      16 + 12 * those kept
    +------+-------+---+---------+---------------------------------------+--------------------------------+
    | 4    | count | 0 | kept(8) | for each that is kept: msg_id(8) end(4) | those that are kept            |
    +------+-------+---+---------+---------------------------------------+--------------------------------+
    kept: bit n (1 << n): the n-th message of the run is still in it. The others are in its mark as deleted.

    mark
    0      1   4            8               16
    +------+---+------------+---------------+
    | 3    | 0 | dead bytes | deleted       |    bit n (1 << n): the n-th message of the run is deleted
    +------+---+------------+---------------+
    dead bytes: what deleted messages, their entries included, take of the run. A run and its mark go together
    once all of it is deleted.

A change of layout raises FORMAT_VERSION in _core/storage/record.pxd, whose functions are the only ones that
read and write records with record_batch.pxd's, and keeps reading the versions before; a directory of a
higher version is refused, because an old broker would not know what it overwrites. Format 1 had no runs,
format 2 no thinned runs, no dead bytes, no count and no jumps.

The count of mailboxes goes into each batch that makes or ends one, so that a start sees whether any are
missing. It is never more than the records in the store; it is less after a failed write that ended one.
"""

import os
from pathlib import Path

from mq9fast._core.storage.record import format_version
from mq9fast.errors import ReadError, StartError
from mq9fast.storage.store import Store

VERSION_KEY = b"v"
NEXT_UID_KEY = b"u"
COUNT_KEY = b"n"
SETTLED_KEY = b"s"
MAILBOXES = b"b"
MESSAGES = b"m"
PURGES = b"p"
# The first format in which marks and mailbox records say what deleted messages take.
COUNTS_DEAD_BYTES = 3
JUMPS_KEY = b"j"
MAX_JUMPS = 0xFFFF
# Behind every key of ours.
LAST_KEY = b"\xff"


def number(value: int) -> bytes:
    """`value` (0 to 2**64 - 1) as it is stored."""
    return value.to_bytes(8, "big")


def mailbox_key(address: bytes) -> bytes:
    """The key of a mailbox record."""
    return MAILBOXES + address


def purge_key(uid: int) -> bytes:
    """The key that says that an ended mailbox's messages are still to be dropped."""
    return PURGES + number(uid)


def messages_of(uid: int) -> tuple[bytes, bytes]:
    """The first key of a mailbox's messages and the first behind them."""
    return MESSAGES + number(uid), MESSAGES + number(uid + 1)


def messages_between(uid: int, rank: int, first: int, end: int) -> tuple[bytes, bytes]:
    """The first key of a mailbox's messages of one rank (0 to 2) with ids from `first` up to but not `end`,
    and the first key behind them. If batches began at these ids, runs in between have no others."""
    start = MESSAGES + number(uid) + bytes([rank])
    return start + number(first), start + number(end)


def uid_of(key: bytes) -> int:
    """The uid of the mailbox whose message has this key."""
    return int.from_bytes(key[1:9], "big")


def after_all(prefix: bytes) -> bytes:
    """The first key behind all that begin with `prefix`, which is one byte."""
    return bytes([prefix[0] + 1])


def check_format(store: Store, directory: Path) -> int:
    """Note the format in a new store; returns which one a store has, 0 for a new one.

    Raises StartError for a newer format, or a store that is not ours.
    """
    stored = store.get(VERSION_KEY)
    if stored is None:
        if next(store.scan(b"", LAST_KEY), None) is not None:
            raise StartError(f"the data directory {directory} holds a RocksDB that is not mq9fast's")
        _put_format(store, 0, jumps=0)
        return 0
    version = int.from_bytes(stored, "big")
    if version > format_version():
        raise StartError(
            f"the data directory {directory} has format {version}, and this version of mq9fast "
            f"reads up to {format_version()}"
        )
    return version


def check_count(store: Store, found: int, *, accept_loss: bool) -> int:
    """Compare the mailboxes that were `found` with the stored count; returns how many are missing.

    If any are, or the count is, ReadError unless `accept_loss`: ids are moved on then, because a mailbox that
    is made again may have given them. A store of an older format gets its count and the new format.
    """
    version, stored = store.get(VERSION_KEY), store.get(COUNT_KEY)
    is_older = version is None or int.from_bytes(version, "big") < format_version()
    count = found if is_older or stored is None else int.from_bytes(stored, "big")
    if not is_older and not accept_loss:
        if stored is None:
            raise ReadError("the count of mailboxes is missing (--accept-loss starts without it)")
        if found < count:
            raise ReadError(
                f"{count} mailboxes are stored, and {found} were found "
                "(--accept-loss starts without the rest)"
            )
    if is_older:
        _put_format(store, found)
    elif stored is None or found < count:
        _put_format(store, found, jumps=min(stored_jumps(store) + 1, MAX_JUMPS))
    return max(count - found, 0)


def stored_jumps(store: Store) -> int:
    """How often ids were moved on, as the store knows it."""
    stored = store.get(JUMPS_KEY)
    return int.from_bytes(stored[:8], "big") if stored else 0


def _put_format(store: Store, count: int, *, jumps: int | None = None) -> None:
    batch = store.new_batch()
    if jumps is not None:
        # The random part tells the log of a new store from any other's.
        batch.put(JUMPS_KEY, number(jumps) + os.urandom(8))
    batch.put(VERSION_KEY, number(format_version()))
    batch.put(COUNT_KEY, number(count))
    store.write(batch)


def is_settled(store: Store) -> bool:
    """Whether the broker before stopped and left no row unowned."""
    return store.get(SETTLED_KEY) is not None


def unsettle(store: Store) -> None:
    """This may no longer be so from here on."""
    batch = store.new_batch()
    batch.delete(SETTLED_KEY)
    store.write(batch)
