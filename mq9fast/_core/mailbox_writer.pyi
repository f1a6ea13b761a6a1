from collections.abc import Callable

from mq9fast._core.answerer import Answerer
from mq9fast._core.commit.accumulator import Accumulator
from mq9fast._core.dead_letters import DeadLetters
from mq9fast._core.deduplicator import Deduplicator
from mq9fast._core.delayer import Delayer
from mq9fast._core.deleter import Deleter
from mq9fast._core.delivery.delivery import Delivery
from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast._core.mailbox.mailbox_index import MailboxIndex
from mq9fast._core.message_adder import MessageAdder
from mq9fast._core.pubsub.client import PendingWork
from mq9fast._core.receipts import Receipts

class MailboxWriter:
    def __init__(
        self,
        mailbox_index: MailboxIndex,
        delivery: Delivery,
        pending_work: PendingWork,
        accumulator: Accumulator,
        adder: MessageAdder,
        delayer: Delayer,
        deleter: Deleter,
        deduplicator: Deduplicator,
        answerer: Answerer,
        receipts: Receipts,
        dead_letters: DeadLetters,
        refusals: dict[str, bytes],
        *,
        store_errors: tuple[type[Exception], ...],
        create: Callable[[bytes], Mailbox | None],
    ) -> None: ...
    @property
    def answerer(self) -> Answerer: ...
    @property
    def receipts(self) -> Receipts: ...
    @property
    def dead_letters(self) -> DeadLetters: ...
    @property
    def accepted(self) -> int: ...
    @property
    def duplicates(self) -> int: ...
    @property
    def deleted(self) -> int: ...
    @property
    def discarded(self) -> int: ...
    @property
    def dropped(self) -> int: ...
    @property
    def over_limit(self) -> int: ...
