from collections.abc import Iterable

from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast.storage.store import Store

def stored_messages(
    store: Store, mailbox: Mailbox, rank: int, start: int
) -> Iterable[tuple[int, int, bytes, bytes]]: ...
