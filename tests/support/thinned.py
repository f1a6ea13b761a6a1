"""The core in memory with a thinner, which rewrites record batches without their deleted messages."""

import struct

from mq9fast._core.mailbox.stored_messages import stored_messages
from mq9fast._core.thinner import Thinner
from tests.support.in_memory import KIB, Core, pub

NO_LIMIT = 64 * KIB * KIB


class Thinned(Core):
    """The core with a thinner and one mailbox, `a`."""

    def __init__(self) -> None:
        super().__init__()
        self.mailbox = self.create(b"a")
        self.thinner = Thinner(self.mailbox_index, self.accumulator)
        self.deleter = self.session()
        self.deleter.feed(b"SUB in 1\r\n")

    def send(self, *payloads: bytes, tail: bytes = b"") -> None:
        """Send messages that arrive in one turn."""
        self.session().feed(b"".join(pub(b"$mq9.AI.MAILBOX.MSG.a" + tail, each) for each in payloads))
        self.end_turn()

    def send_deletes(self, *msg_ids: int) -> None:
        for msg_id in msg_ids:
            self.deleter.feed(pub(b"$mq9.AI.MAILBOX.DELETE.a.%d" % msg_id, reply=b"in"))

    def delete(self, *msg_ids: int) -> list[bool]:
        self.send_deletes(*msg_ids)
        answers = self.deleter.after_turn().split(b"MSG in 1 ")[1:]
        return [b"true" in answer for answer in answers]

    def thin(self, max_bytes: int = NO_LIMIT) -> bool:
        more = self.thinner.step(self.store, max_bytes)  # type: ignore[arg-type]
        self.end_turn()
        return more

    def payloads(self, rank: int = 2) -> dict[int, bytes]:
        messages = stored_messages(self.store, self.mailbox, rank, 0)
        return {msg_id: payload for msg_id, _, _, payload, _ in messages}

    @property
    def rows(self) -> dict[bytes, bytes]:
        return {key: value for key, value in self.store.pairs.items() if key.startswith(b"m")}

    @property
    def dead_bytes_in_bitmaps(self) -> int:
        bitmaps = [value for value in self.rows.values() if value[0] == 3]
        return sum(struct.unpack(">B3xIQ", value)[1] for value in bitmaps)
