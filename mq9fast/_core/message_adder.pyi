from mq9fast._core.base.limits import Limits
from mq9fast._core.commit.accumulator import Accumulator
from mq9fast._core.delivery.events import Events
from mq9fast._core.discarder import Discarder
from mq9fast._core.mailbox.mailbox_index import MailboxIndex
from mq9fast._core.replacer import Replacer

class MessageAdder:
    def __init__(
        self,
        mailbox_index: MailboxIndex,
        accumulator: Accumulator,
        events: Events,
        limits: Limits,
        discarder: Discarder,
        replacer: Replacer,
    ) -> None: ...
