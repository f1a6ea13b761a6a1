from mq9fast._core.dead_letters import DeadLetters
from mq9fast._core.receipts import Receipts
from mq9fast.storage.store import Store

class EndedMessages:
    def __init__(self, receipts: Receipts, dead_letters: DeadLetters, *, store: Store) -> None: ...
    def end_row(
        self,
        uid: int,
        address: bytes,
        receipts_to: bytes,
        dead_letter: bytes,
        rank: int,
        rows: list[tuple[bytes, bytes]],
    ) -> bytes | None: ...
