from collections.abc import Callable

from mq9fast._core.commit.accumulator import Accumulator
from mq9fast._core.delayed_messages import DelayedMessages
from mq9fast._core.deleter import Deleter
from mq9fast._core.delivery.events import Events
from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast._core.mailbox.mailbox_index import MailboxIndex
from mq9fast.storage.store import Store

class Dropper:
    def __init__(
        self,
        mailbox_index: MailboxIndex,
        accumulator: Accumulator,
        deleter: Deleter,
        delayed: DelayedMessages,
        events: Events,
        *,
        store: Store,
        send_receipts: Callable[[Mailbox, int, bytes | None, bool], None],
    ) -> None: ...
    @property
    def discarded(self) -> int: ...
