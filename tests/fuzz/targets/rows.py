"""Rows of the store, with any bytes in one of them: their mailboxes are read, changed and expired.

Such a row is refused as corrupt, or read as what it says. The other mailboxes are served.
"""

import contextlib
import struct
from collections.abc import Callable
from functools import cache

from mq9fast._core.storage.record import CorruptRecord
from mq9fast.errors import StoreError
from tests.fuzz.target import Target
from tests.fuzz.whole_core import WholeCore
from tests.support.in_memory import hpub, pub

_MAILBOX = b"$mq9.AI.MAILBOX."
_REFUSALS = (CorruptRecord, StoreError)
_OPTIONS = (
    b'{"name":"a","ack_wait":1,"max_deliver":2,"dead_letter":"dead","backoff":[1,2],"receipts_to":"log","desc":"x"}',
    b'{"name":"b","max_age":5,"dead_letter":"dead","dead_letter_expired":true,"max_messages":99,"discard":"old"}',
    b'{"name":"c","public":true,"ttl":2,"receipts_to":"log"}',
    b'{"name":"dead"}',
    b'{"name":"log"}',
)


def _headers(*lines: bytes) -> bytes:
    return b"NATS/1.0\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


@cache
def stored() -> dict[bytes, bytes]:
    """A store that has a row of every kind."""
    core = WholeCore()
    client, member = core.session(), core.session()
    for options in _OPTIONS:
        client.feed(pub(_MAILBOX + b"CREATE", options))
    for address in (b"a", b"b", b"c"):
        msg = _MAILBOX + b"MSG." + address
        client.feed(b"".join(pub(msg, b"%03d" % n * 20) for n in range(12)))
        core.end_turn()
        client.feed(hpub(msg + b".urgent", _headers(b"Nats-Msg-Id: 7", b"Nats-TTL: 3", b"Mq9-Key: k"), b"x"))
        client.feed(hpub(msg, _headers(b"Mq9-Reply-To: log", b"Mq9-Receipt-To: log"), b"question"))
        core.end_turn()
        for delay in (b"1", b"100"):
            client.feed(hpub(msg + b".critical", _headers(b"Mq9-Delay: " + delay, b"Mq9-Key: d"), b"late"))
        core.end_turn()
        client.feed(b"".join(pub(_MAILBOX + b"DELETE." + address + b".%d" % n) for n in (1, 3, 4)))
        core.end_turn()
    member.feed(b"SUB $mq9.AI.MAILBOX.MSG.a q 1\r\n")
    core.end_turn()
    held = next(
        line for line in member.output().split(b"\r\n") if line.startswith(b"HMSG") or b"DELETE.a" in line
    )
    client.feed(pub(held.split()[3], b"-NAK"))
    client.feed(hpub(_MAILBOX + b"MSG.a.urgent", _headers(b"Mq9-Key: k"), b"replacing"))
    core.end_turn()
    core.advance(1300)
    core.keep_house()
    member.session.closed()
    core.keep_house()
    core.advance(1000)
    core.mailboxes.expire_due()
    core.end_turn()
    return core.store.pairs


def run(data: bytes) -> None:
    """The first two bytes choose a row, the rest is its value."""
    rows = stored()
    key = _chosen(data)
    _use(rows | {key: data[2:]})


def run_with_key(data: bytes) -> None:
    """The first byte is the length of a key; it and the value are added to the store."""
    size = data[0] if data else 0
    _use(stored() | {data[1 : 1 + size]: data[1 + size :]})


def _chosen(data: bytes) -> bytes:
    keys = sorted(stored())
    return keys[int.from_bytes(data[:2], "big") % len(keys)]


def _use(rows: dict[bytes, bytes]) -> None:
    try:
        core = WholeCore(rows)
    except _REFUSALS:
        return
    core.time.start(2000, 0)
    turn = _turns(core)
    core.mailbox_index.queue_all_for_thinning()
    client, member = core.session(), core.session()
    client.feed(b"SUB r 1\r\n")
    for address in (b"a", b"b", b"c"):
        client.feed(b"SUB %bMSG.%b 2\r\n" % (_MAILBOX, address))
        member.feed(b"SUB %bMSG.%b q 3\r\n" % (_MAILBOX, address))
        turn()
        client.feed(pub(_MAILBOX + b"LIST." + address, b'{"limit":5}', b"r"))
        client.feed(pub(_MAILBOX + b"LIST." + address, b'{"order":"newest"}', b"r"))
        client.feed(pub(_MAILBOX + b"LIST." + address, b'{"key":"k"}', b"r"))
        for number in (2, 5, 9, 13, 14):
            client.feed(pub(_MAILBOX + b"DELETE.%b.%d" % (address, number), b"yes", b"r"))
        for header in (_headers(b"Nats-Msg-Id: 7"), _headers(b"Mq9-Key: k"), _headers(b"Mq9-Delay: 1")):
            client.feed(hpub(_MAILBOX + b"MSG." + address, header, b"new", b"r"))
        turn()
    for _ in range(2):
        core.advance(5000)
        for work in core.house_work:
            with contextlib.suppress(*_REFUSALS):
                work()
            turn()
    _check(core, turn)


def _turns(core: WholeCore) -> Callable[[], None]:
    """Ends turns, as a broker does that reports what it cannot read and goes on."""

    def turn() -> None:
        with contextlib.suppress(*_REFUSALS):
            core.end_turn()

    return turn


def _check(core: WholeCore, turn: Callable[[], None]) -> None:
    client = core.session()
    client.feed(b"SUB r 1\r\n" + pub(_MAILBOX + b"CREATE", b'{"name":"untouched"}'))
    client.feed(pub(_MAILBOX + b"MSG.untouched", b"x", b"r"))
    turn()
    assert b'{"msg_id":0}' in client.output()
    assert not core.loop.failures, core.loop.failures
    core.end()


def _seeds() -> list[bytes]:
    return [struct.pack(">H", at) + value for at, (_, value) in enumerate(sorted(stored().items()))]


def _key_seeds() -> list[bytes]:
    return [bytes([len(key)]) + key + value for key, value in sorted(stored().items())]


_WORDS = [
    *(bytes([version]) for version in range(12)),
    *(struct.pack(">BH", tag, 8) + bytes(8) for tag in (1, 2, 3, 10, 20, 64)),
    *(bytes(8), b"\xff" * 8, bytes(7) + b"\1", b"a", b"log", b"\x15\x00\x04dead", b"NATS/1.0\r\n\r\n"),
]
TARGETS = [Target("rows", run, _seeds(), _WORDS), Target("row-keys", run_with_key, _key_seeds(), _WORDS)]
