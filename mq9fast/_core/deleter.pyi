from collections.abc import Callable
from typing import Any

from mq9fast._core.commit.accumulator import Accumulator
from mq9fast._core.delivery.failures import Failures
from mq9fast._core.mailbox.mailbox_index import MailboxIndex
from mq9fast._core.names import Names
from mq9fast._core.pubsub.client import PendingWork
from mq9fast.storage.store import Store

class Deleter:
    def __init__(
        self,
        mailbox_index: MailboxIndex,
        pending_work: PendingWork,
        accumulator: Accumulator,
        failures: Failures,
        names: Names,
        *,
        store: Store,
        write_batch: Callable[[], Any],
    ) -> None: ...
