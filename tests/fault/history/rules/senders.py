"""`Mq9-From` of each message is the name of the user that sent it, also if the client wrote another name."""

from collections.abc import Iterator

from tests.fault.history.model import Model
from tests.fault.history.records import Violation


def check(model: Model) -> Iterator[Violation]:
    for mailbox in model.mailboxes.values():
        for seen, _ in mailbox.sightings():
            message = model.messages.get(seen.uid or "")
            told = seen.headers.get("Mq9-From", "")
            if message is not None and told != message.request.user:
                yield Violation("sender", f"{seen.uid} is said to be from {told!r}", [message.request, seen])
