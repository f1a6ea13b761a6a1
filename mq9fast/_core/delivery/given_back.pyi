from collections.abc import Callable

from mq9fast._core.base.timers import Timed
from mq9fast._core.delivery.catch_up_queue import CatchUpQueue
from mq9fast._core.delivery.failures import Failures
from mq9fast._core.mailbox.mailbox import Mailbox

class GroupWork:
    def __init__(
        self,
        catch_up_queue: CatchUpQueue,
        failures: Failures,
        first_group: int,
        bury: Callable[[Mailbox, int, int], bool],
    ) -> None: ...

class Share:
    def __init__(self, given_back: GivenBack) -> None: ...
    def __call__(self, durable: bool) -> None: ...

class GivenBack(Timed): ...
