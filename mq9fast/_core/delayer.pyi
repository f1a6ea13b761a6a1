from mq9fast._core.base.broker_time import BrokerTime
from mq9fast._core.commit.accumulator import Accumulator
from mq9fast._core.mailbox.mailbox_index import MailboxIndex
from mq9fast._core.message_adder import MessageAdder
from mq9fast._core.names import Names
from mq9fast.storage.store import Store

class Delayer:
    def __init__(
        self,
        mailbox_index: MailboxIndex,
        accumulator: Accumulator,
        adder: MessageAdder,
        names: Names,
        time: BrokerTime,
        *,
        store: Store,
    ) -> None: ...
