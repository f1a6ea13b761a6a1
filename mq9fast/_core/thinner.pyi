from mq9fast._core.intake import Intake
from mq9fast._core.mailbox import Directory
from mq9fast.store.base import Store

class Thinner:
    def __init__(self, directory: Directory, intake: Intake) -> None: ...
    def step(self, store: Store, most_bytes: int) -> bool: ...
