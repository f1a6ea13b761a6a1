from mq9fast._core.mailbox.mailbox import Directory
from mq9fast._core.mailbox_writer import Intake
from mq9fast.storage.store import Store

class Thinner:
    def __init__(self, directory: Directory, intake: Intake) -> None: ...
    def step(self, store: Store, most_bytes: int) -> bool: ...
