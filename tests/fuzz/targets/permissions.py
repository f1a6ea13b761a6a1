"""A client with few permissions, whatever it sends, reads and changes nothing else, and is nobody else."""

import re

from mq9fast._core.protocol.headers import sender_block
from mq9fast._core.pubsub.permissions import Permissions
from tests.fuzz.seeds import ADVANCE, END_TURN
from tests.fuzz.target import Target
from tests.fuzz.targets import session
from tests.fuzz.whole_core import WholeCore
from tests.support.in_memory import Peer, hpub, pub

_MAILBOX = b"$mq9.AI.MAILBOX."
_CUTS = re.compile(rb"([\x1c-\x1f])")
SECRET = b"TOP-SECRET"
OWN = Permissions(
    (*(_MAILBOX + tail for tail in (b"CREATE", b"MSG.own", b"LIST.own", b"DELETE.own.*")), b"open.>"),
    (b"open.closed",),
    tuple((subject, None) for subject in (_MAILBOX + b"MSG.own", b"_INBOX.own.>", b"open.>")),
    ((b"open.closed", None),),
    7,
)
# What another client has. Its mailboxes are private but the last.
MAILBOXES = (
    b'{"name":"secret","desc":"TOP-SECRET","max_messages":50}',
    b'{"name":"secret.dead","dead_letter":"secret","max_deliver":1}',
    b'{"name":"shown","public":true,"desc":"TOP-SECRET"}',
)
NAMES = (b"secret", b"secret.dead", b"shown")


def run(data: bytes) -> None:
    core = WholeCore()
    other, client = core.session(), core.session()
    client.session.permit(OWN)
    client.session.sender_block = sender_block(b"own")
    other.feed(b"".join(pub(_MAILBOX + b"CREATE", each) for each in MAILBOXES))
    other.feed(pub(_MAILBOX + b"CREATE", b'{"name":"own"}') + b"SUB closed.> 1\r\nSUB open.closed 1\r\n")
    _send_secrets(core, other)
    before = _state(core)
    for piece in _CUTS.split(data):
        if piece in {END_TURN, ADVANCE}:
            core.advance(700 if piece == ADVANCE else 0)
            core.keep_house()
            _send_plain_secrets(other)
        elif not client.session.closing:
            client.feed(piece)
    core.keep_house()
    assert SECRET not in client.output()
    assert _state(core) == before
    # On its own subjects the other client hears itself only.
    received = other.output()
    assert received.count(b"MSG ") == received.count(SECRET), received
    _check_senders(core)
    core.end()


def _send_secrets(core: WholeCore, other: Peer) -> None:
    for name in NAMES:
        for tail in (b"", b".critical"):
            header = b"NATS/1.0\r\nMq9-Key: k\r\nX: TOP-SECRET\r\n\r\n"
            other.feed(hpub(_MAILBOX + b"MSG." + name + tail, header, SECRET))
    _send_plain_secrets(other)
    core.end_turn()


def _send_plain_secrets(other: Peer) -> None:
    other.feed(pub(b"closed.a", SECRET) + pub(b"open.closed", SECRET))


def _state(core: WholeCore) -> list[tuple[object, ...]]:
    """What must not change: messages, options and descriptions of the other client's mailboxes."""
    found = [core.mailbox_index.get(name) for name in NAMES]
    return [
        (
            box.total_count,
            box.next_id,
            box.description,
            box.public,
            box.ttl_seconds,
            box.options and box.options.packed,
        )
        for box in found
        if box is not None
    ]


def _check_senders(core: WholeCore) -> None:
    """Each message of the client has its name, and no other."""
    reader = core.session()
    reader.feed(b"SUB " + _MAILBOX + b"MSG.own 1\r\n")
    core.end_turn()
    core.end_turn()
    for message in reader.output().split(b"HMSG $mq9.AI.MAILBOX.MSG.own")[1:]:
        head = message.partition(b"\r\n")[2].partition(b"\r\n\r\n")[0]
        senders = re.findall(rb"(?mi)^mq9-from:[ \t]*([^\r]*)", head)
        assert senders == [b"own"], message


def _seeds() -> list[bytes]:
    list_, msg, delete = _MAILBOX + b"LIST", _MAILBOX + b"MSG.", _MAILBOX + b"DELETE."
    inbox = b"_INBOX.own.1"
    reply_to = b"NATS/1.0\r\nMq9-Reply-To: secret\r\nMq9-From: boss\r\n\r\n"
    begin = b"SUB _INBOX.own.> 1\r\nSUB " + _MAILBOX + b"MSG.own 2\r\n"
    return [
        begin + pub(msg + b"own", b"x", inbox) + END_TURN + pub(delete + b"own.0", b"done", inbox),
        begin + pub(list_ + b".secret", b"", inbox) + pub(list_, b'{"with_latest":true}', inbox),
        begin
        + hpub(msg + b"own", reply_to, b"?", inbox)
        + END_TURN
        + pub(delete + b"own.0", b"answer", inbox),
        begin
        + pub(_MAILBOX + b"CREATE", b'{"name":"own","dead_letter":"secret","receipts_to":"secret"}', inbox),
        begin + pub(_MAILBOX + b"CREATE", b'{"name":"secret","ttl":1,"max_messages":1}', inbox) + ADVANCE * 3,
        b"SUB "
        + _MAILBOX
        + b"MSG.secret 3\r\nSUB "
        + _MAILBOX
        + b"EVENT.secret.* 4\r\nSUB > 5\r\nSUB *.> 6 q\r\n",
        b"SUB closed.a 3\r\nSUB open.* 4\r\nSUB open.> q 5\r\n"
        + END_TURN
        + pub(b"closed.a", b"x")
        + END_TURN,
        hpub(b"open.a", b"NATS/1.0\r\nNats-Trace-Dest: closed.a\r\n\r\n", b"x", msg + b"secret") + END_TURN,
        pub(b"open.a", b"x", delete + b"secret.0")
        + pub(msg + b"secret", b"x")
        + pub(delete + b"secret.0", b"x"),
        hpub(msg + b"own", b"NATS/1.0\r\nMq9-Receipt-To: secret\r\nMq9-Key: k\r\n\r\n", b"x", inbox) * 2,
    ]


WORDS = [
    *session.WORDS,
    *NAMES,
    b"own",
    b"closed.",
    b"open.",
    b"_INBOX.own.2 ",
    b"Mq9-From: x\r\n",
    b"secret.0",
]
TARGET = Target("permissions", run, [*_seeds(), *session.TARGET.seeds], WORDS)
