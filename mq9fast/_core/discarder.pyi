from collections.abc import Callable
from typing import Any

from mq9fast._core.commit.accumulator import Accumulator
from mq9fast._core.dropper import Dropper
from mq9fast._core.pubsub.client import PendingWork
from mq9fast.storage.store import Store

class HeldMessages: ...

class Discarder:
    def __init__(
        self,
        pending_work: PendingWork,
        accumulator: Accumulator,
        dropper: Dropper,
        *,
        store: Store,
        finish_write: Callable[[], Any],
    ) -> None: ...
    def work_some(self) -> bool: ...
