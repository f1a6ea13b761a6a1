"""Sessions on a whole core: any bytes of several clients, in any pieces, with turns and time between them.

However the bytes are cut, clients get the same. Whatever they send, another client is served, and mailboxes
count what is stored.
"""

import re

from tests.fuzz.seeds import ADVANCE, END_TURN, NEXT_CLIENT, SPLIT, exchanges
from tests.fuzz.target import Target
from tests.fuzz.whole_core import WholeCore
from tests.support.in_memory import Peer, hpub, pub

CLIENTS = 3
_CUTS = re.compile(rb"([\x1c-\x1f])")
_MAILBOX = b"$mq9.AI.MAILBOX."
# What is random in replies: generated addresses.
_RANDOM = re.compile(rb'"mail_address":"([a-z0-9._-]+\.)?[a-z0-9]{20,}"')
# Time goes on while a core runs, so two of them may differ once.
ATTEMPTS = 4
OPTIONS = (
    b'{"name":"a"}',
    b'{"name":"b","ack_wait":1,"max_deliver":2,"dead_letter":"dead","backoff":[1,2],"receipts_to":"log"}',
    b'{"name":"c","public":true,"max_messages":3,"discard":"old","max_age":5,"ttl":9,"duplicate_window":3}',
    b'{"name":"d","dead_letter":"dead","dead_letter_expired":true,"max_age":1,"max_bytes":999}',
)


def run(data: bytes) -> None:
    pieces = _CUTS.split(data)
    for _ in range(ATTEMPTS):
        whole, cut = (_play(pieces, splits=splits) for splits in (False, True))
        if whole == cut:
            return
    raise AssertionError((whole, cut))


def _play(pieces: list[bytes], *, splits: bool) -> list[bytes]:
    """What each client receives, without what is random. `splits`: cut at SPLIT, and after every 7 bytes."""
    core = WholeCore()
    clients = [core.session() for _ in range(CLIENTS)]
    witness, now, written = core.session(), 0, b""
    for options in OPTIONS:
        witness.feed(pub(_MAILBOX + b"CREATE", options))
    core.end_turn()
    for piece in [*pieces, END_TURN]:
        if piece == SPLIT:
            continue
        if piece not in {NEXT_CLIENT, ADVANCE, END_TURN}:
            written += piece
            continue
        _feed(clients[now], written, 7 if splits else None)
        written = b""
        if piece == NEXT_CLIENT:
            now = (now + 1) % CLIENTS
        else:
            core.advance(700 if piece == ADVANCE else 0)
            core.keep_house()
    _check(core, witness)
    return [_RANDOM.sub(b"", client.output()) for client in clients]


def _feed(client: Peer, data: bytes, most: int | None) -> None:
    """As a transport does: what comes after the end of the connection is not read."""
    for at in range(0, len(data), most or len(data) or 1):
        if client.session.closing or client.connection.closing:
            return
        client.feed(data[at : at + (most or len(data))])


def _check(core: WholeCore, witness: Peer) -> None:
    witness.output()
    witness.feed(b"SUB witness.reply 9\r\n" + pub(b"witness.reply", b"served") + b"PING\r\n")
    witness.feed(pub(_MAILBOX + b"CREATE", b'{"name":"witness"}'))
    witness.feed(pub(_MAILBOX + b"MSG.witness", b"stored", b"witness.reply"))
    received = witness.after_turn()
    assert b"served\r\n" in received and b"PONG\r\n" in received and b'{"msg_id":' in received, received
    core.end()
    assert not core.loop.failures, core.loop.failures
    core.check_counts()


def _header(*lines: bytes) -> bytes:
    return b"NATS/1.0\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def _mailbox_seeds() -> list[bytes]:
    sub = b"SUB r 9\r\nSUB " + _MAILBOX + b"MSG.b q 1\r\n"
    answer = _MAILBOX + b"DELETE.b.0"
    msg = _MAILBOX + b"MSG."
    return [
        pub(msg + b"a", b"x", b"r") + pub(msg + b"a.urgent", b"y") * 3 + END_TURN + sub + NEXT_CLIENT + sub,
        sub + pub(msg + b"b", b"1") * 5 + END_TURN + pub(answer, b"-NAK", b"r") + END_TURN + ADVANCE * 3,
        sub + pub(msg + b"b", b"1") + END_TURN + pub(answer + b"-1", b"+WPI", b"r") + b"UNSUB 1\r\n",
        sub + pub(msg + b"b", b"1") + END_TURN + pub(answer, b"+TERM why", b"r") + END_TURN,
        sub + pub(msg + b"b", b"1") + END_TURN + pub(answer, b"-NAK {\"delay\": 1000000000}") + ADVANCE * 4,
        hpub(msg + b"a", _header(b"Mq9-Reply-To: c", b"Mq9-Correlation-Id: 7"), b"q", b"r")
        + b"SUB $mq9.AI.MAILBOX.MSG.a q 2\r\n" + END_TURN + pub(_MAILBOX + b"DELETE.a.0", b"yes", b"r"),
        hpub(msg + b"a", _header(b"Nats-Msg-Id: 1"), b"q", b"r") * 2 + END_TURN + ADVANCE,
        hpub(msg + b"a", _header(b"Mq9-Delay: 1s", b"Mq9-Key: k"), b"q", b"r") * 2 + ADVANCE * 3,
        hpub(msg + b"a", _header(b"Mq9-Deliver-At: 1970-01-01T00:00:01Z"), b"q", b"r") + ADVANCE * 3,
        hpub(msg + b"a", _header(b"Nats-TTL: 1", b"Mq9-Receipt-To: log", b"Mq9-Receipt-On: expired"), b"q")
        + ADVANCE * 3,
        hpub(msg + b"c", _header(b"Mq9-Key: k"), b"q") * 3 + END_TURN + pub(msg + b"c", b"z") * 5 + ADVANCE,
        pub(msg + b"d", b"gone") * 3 + ADVANCE * 3 + pub(_MAILBOX + b"LIST.dead", b'{"limit":1}', b"r"),
        b"SUB r 1\r\n" + pub(_MAILBOX + b"LIST.a", b'{"order":"newest","limit":2}', b"r")
        + pub(_MAILBOX + b"LIST", b'{"prefix":"","with_latest":true}', b"r"),
        b"SUB $mq9.AI.MAILBOX.EVENT.a.* 3\r\n" + pub(msg + b"a") * 70 + END_TURN
        + b"".join(pub(_MAILBOX + b"DELETE.a.%d" % each, b"", b"r") for each in range(0, 70, 3)) + END_TURN,
        b"SUB > 1\r\nSUB *.> 2\r\nSUB a.* q 3\r\nUNSUB 1 2\r\n" + NEXT_CLIENT + pub(b"a.b", b"x", b"r") * 3,
        hpub(b"t", _header(b"Nats-Trace-Dest: r", b"Nats-Trace-Only: true"), b"x") + b"SUB t 1\r\n",
        pub(_MAILBOX + b"CREATE", b'{"name":"new","ttl":1}', b"r") + pub(msg + b"new", b"x") + ADVANCE * 3,
    ]  # fmt: skip


WORDS = [
    *(
        NEXT_CLIENT,
        ADVANCE,
        END_TURN,
        SPLIT,
        ADVANCE * 4,
        b"\r\n",
        b"SUB ",
        b"UNSUB ",
        b"PING\r\n",
        b"-ERR\r\n",
    ),
    *(_MAILBOX, b"MSG.", b"DELETE.", b"LIST", b"CREATE", b"EVENT.", b".urgent", b".critical", b".*", b".>"),
    *(b"a", b"b", b"c", b"d", b"log", b"dead", b" q ", b"-NAK", b"+WPI", b"+TERM ", b"+ACK", b'{"delay":1}'),
    pub(_MAILBOX + b"MSG.a", b"x", b"r"),
    pub(_MAILBOX + b"MSG.b.critical", b"x"),
    b"SUB $mq9.AI.MAILBOX.MSG.a q 5\r\n",
    b"SUB $mq9.AI.MAILBOX.MSG.b.* 6\r\n",
    *(pub(_MAILBOX + b"DELETE.a.%d" % each, b"", b"r") for each in range(3)),
    *(pub(_MAILBOX + b"DELETE.b.%d-1" % each, b"ok", b"r") for each in range(3)),
    *(
        hpub(_MAILBOX + b"MSG." + name, _header(line), b"x", b"r")
        for name in (b"a", b"b", b"c")
        for line in (
            *(b"Mq9-Delay: 1", b"Mq9-Key: k", b"Nats-TTL: 1", b"Nats-Msg-Id: i", b"Mq9-Reply-To: a"),
            b"Mq9-Receipt-To: log",
        )
    ),
    *(b'{"cursor":"', b'"limit":', b'"msg_id":', b'"key":"', b'"ttl":', b'"name":"', b'"max_in_flight":'),
]
TARGET = Target("session", run, [*_mailbox_seeds(), *exchanges()], WORDS)
