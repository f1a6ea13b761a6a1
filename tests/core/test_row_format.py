"""The bytes of every row that the core writes. Other bytes for any of them need a new FORMAT_VERSION."""

import pytest

from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast._core.storage.record import FORMAT_VERSION, MAILBOXES, MAX_ID_EPOCH, MESSAGES
from mq9fast._core.thinner import Thinner
from mq9fast.storage import layout
from tests.support.in_memory import Core, pub

UID = "11 12 13 14 15 16 17 18"
# The first id in id epoch 2.
FIRST_ID = "00 00 00 02 00 00 00 00"


def row(key: str, *value: str) -> tuple[bytes, bytes]:
    return bytes.fromhex(key), bytes.fromhex("".join(value))


def text(characters: str) -> str:
    return characters.encode().hex()


class OneMailbox(Core):
    """The core with one mailbox, `a.b`, whose numbers all have different bytes."""

    def __init__(self) -> None:
        super().__init__()
        index = self.mailbox_index
        self.advance(0x0102030405060708)
        index.reserve_uids(int(UID.replace(" ", ""), 16))
        index.raise_id_epoch(2)
        self.mailbox: Mailbox = index.create(b"a.b", True)
        index.renew(self.mailbox, 0x2122232425262728, b"who")

    @property
    def sent(self) -> str:
        """The time of the last message, as eight bytes in hex."""
        return self.mailbox.renewed_ms.to_bytes(8, "big").hex(" ")

    def send(self, *frames: bytes) -> None:
        self.session().feed(b"".join(frames))
        self.pipeline.write_batch()


def test_versions() -> None:
    assert (FORMAT_VERSION, MAILBOXES, MESSAGES, MAX_ID_EPOCH) == (4, b"b", b"m", 65535)


def test_rows_of_a_single_message_and_its_mailbox() -> None:
    core = OneMailbox()
    header = "NATS/1.0\r\nA: b\r\n\r\n"
    core.send(b"HPUB $mq9.AI.MAILBOX.MSG.a.b.urgent 18 20\r\n%bok\r\n" % header.encode())
    message = row(
        f"6d {UID} 01 {FIRST_ID}",
        *("01 00", "00 00", "00 00 00 12", core.sent),
        text(header) + text("ok"),
    )
    mailbox = row(
        text("ba.b"),
        *(
            "01 01 00 0b",
            "00 00 00 03",
            UID,
            "00 00 00 02 00 00 00 01",
            core.sent,
            "21 22 23 24 25 26 27 28",
        ),
        *("00" * 8, "00" * 8, "00" * 8),
        *("00" * 8, "00 00 00 00 00 00 00 01", "00" * 8),
        *("00 00 00 00 00 00 00 14", "00 00 00 02", "00 00 00 00"),
        text("who"),
        "01 00 08 01 02 03 04 05 06 07 08",
    )
    assert core.store.pairs == dict([message, mailbox])
    assert (len(message[0]), len(message[1]), len(mailbox[1])) == (18, 16 + 20, 104 + 3 + 11)


def test_flags_of_messages() -> None:
    """The second byte of a message says which options it has; bit 5 of a record's flags stays set."""
    core = OneMailbox()
    for flags, options in enumerate(
        ("A: b", "Mq9-Reply-To: c", "Mq9-Receipt-To: c", "Mq9-Correlation-Id: c")
    ):
        header = f"NATS/1.0\r\n{options}\r\n\r\n".encode()
        core.send(b"HPUB $mq9.AI.MAILBOX.MSG.a.b %d %d\r\n%b\r\n" % (len(header), len(header), header))
        stored = core.store.pairs[row(f"6d {UID} 02 {FIRST_ID[:-1]}{flags}")[0]]
        assert stored[:2] == bytes([1, flags % 3])
        assert core.store.pairs[b"ba.b"][1] == (1 if flags < 2 else 33)


def test_rows_of_a_record_batch_its_bitmap_and_the_thinned_batch() -> None:
    core = OneMailbox()
    core.send(*(pub(b"$mq9.AI.MAILBOX.MSG.a.b", payload) for payload in (b"a" * 300, b"bb", b"c")))
    messages = [f"01 00 00 00 00 00 00 00 {core.sent}" + text(payload) for payload in ("a" * 300, "bb", "c")]
    ids = [f"00 00 00 02 00 00 00 0{n}" for n in range(3)]
    batch_key = f"6d {UID} 02 {ids[2]} 00"
    batch = row(
        batch_key,
        *("02 03", "00" * 6),
        *(ids[0], "00 00 01 3c", ids[1], "00 00 01 4e", ids[2], "00 00 01 5f"),
        *messages,
    )
    assert core.store.pairs.items() >= {batch}
    assert (len(batch[0]), len(batch[1])) == (19, 8 + 3 * 12 + 3 * 16 + 303)

    core.send(pub(b"$mq9.AI.MAILBOX.DELETE.a.b.8589934592"))
    bitmap_key = f"6d {UID} 02 {ids[2]}"
    assert core.store.pairs.items() >= {
        batch,
        row(bitmap_key, "03 00 00 00", "00 00 01 48", "00 00 00 00 00 00 00 01"),
    }
    # Dead bytes are stored in whole units of 256 bytes.
    assert core.store.pairs[b"ba.b"][100:104] == bytes([0, 0, 0, 0x148 // 0x100])

    assert not Thinner(core.mailbox_index, core.accumulator).step(core.store, 1 << 20)  # type: ignore[arg-type]
    core.pipeline.write_batch()
    thinned = row(
        batch_key,
        *("04 03", "00" * 6, "00 00 00 00 00 00 00 06"),
        *(ids[1], "00 00 00 12", ids[2], "00 00 00 23"),
        *messages[1:],
    )
    assert core.store.pairs.items() >= {
        thinned,
        row(bitmap_key, "03 00 00 00", "00 00 00 00", "00 00 00 00 00 00 00 01"),
    }
    assert len(thinned[1]) == 16 + 2 * 12 + 2 * 16 + 3


def test_rows_of_a_message_with_a_life() -> None:
    core = OneMailbox()
    header = "NATS/1.0\r\nNats-TTL: 2\r\n\r\n"
    size = len(header)
    core.send(b"HPUB $mq9.AI.MAILBOX.MSG.a.b.urgent %d %d\r\n%bok\r\n" % (size, size + 2, header.encode()))
    message = row(
        f"6d {UID} 01 {FIRST_ID}",
        *("01 08", "00 0b", f"00 00 00 {size:02x}", core.sent),
        "01 00 08 00 00 00 00 00 00 07 d0",
        text(header) + text("ok"),
    )
    # The end of a step of 250 ms.
    due = (((core.mailbox.renewed_ms + 2000) // 250 + 1) * 250).to_bytes(8, "big").hex(" ")
    due_row = row(
        f"74 {due} {UID} {FIRST_ID}",
        *("08 00", "00 03", "00 00 00 01"),
        text("a.b") + f"01 {FIRST_ID}",
    )
    assert core.store.pairs.items() >= {message, due_row}
    assert core.store.pairs[b"ba.b"][1] == 0x01 | 0x04


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (layout.mailbox_key(b"a.b"), "62 61 2e 62"),
        (layout.purge_key(0x1112131415161718), f"70 {UID}"),
        (layout.messages_of(0x1112131415161718)[0], f"6d {UID}"),
        (layout.messages_of(0x1112131415161717)[1], f"6d {UID}"),
        (layout.messages_between(0x1112131415161718, 1, 2 << 32, 9)[0], f"6d {UID} 01 {FIRST_ID}"),
        (layout.messages_between(0x1112131415161718, 1, 0, 2 << 32)[1], f"6d {UID} 01 {FIRST_ID}"),
        (layout.number(0x1112131415161718), UID),
    ],
)
def test_keys_made_by_python(key: bytes, expected: str) -> None:
    assert key == bytes.fromhex(expected)
    assert not key.startswith(b"m") or layout.uid_of(key) == 0x1112131415161718
