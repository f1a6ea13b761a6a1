from collections.abc import Iterable, Iterator

from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast.storage.store import Store

def stored_messages(
    store: Store, mailbox: Mailbox, rank: int, start: int, end: int | None = None
) -> Iterable[tuple[int, int, bytes, bytes, int]]: ...
def find_message(
    store: Store, mailbox: Mailbox, rank: int, msg_id: int
) -> tuple[int, int, bytes, bytes, int] | None: ...
def messages_before(
    store: Store, mailbox: Mailbox, rank: int, start: int, end: int
) -> Iterator[tuple[int, int, bytes, bytes, int]]: ...
def delayed_messages(
    store: Store, mailbox: Mailbox, rank: int, start: int, end: int
) -> Iterator[tuple[int, int, bytes, bytes, int, int]]: ...
