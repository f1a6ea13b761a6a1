from mq9fast._core.base.broker_time import BrokerTime
from mq9fast._core.delayed_messages import DelayedMessages
from mq9fast._core.mailbox.mailbox_index import MailboxIndex
from mq9fast._core.message_adder import MessageAdder
from mq9fast._core.names import Names

class Delayer:
    def __init__(
        self,
        mailbox_index: MailboxIndex,
        delayed: DelayedMessages,
        adder: MessageAdder,
        names: Names,
        time: BrokerTime,
    ) -> None: ...
