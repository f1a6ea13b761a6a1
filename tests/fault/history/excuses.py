"""What may have ended a message: anything that a client asked for, or that its options bring with time."""

from collections import defaultdict
from functools import cached_property

from tests.fault.history.model import FOREVER, Mailbox, Message, Model, Stored, is_delayed, most_bytes, span
from tests.fault.history.records import Request

WORDS_THAT_KEEP = ("-NAK", "+WPI")


def may_end(request: Request) -> bool:
    """Whether a DELETE or an answer may have deleted its message."""
    if request.verb == "answer" and request.asked["body"].startswith(WORDS_THAT_KEEP):
        return False
    return request.reply is None or request.reply.get("deleted") is True


def ends(request: Request) -> bool:
    """Whether a DELETE or an answer deleted its message for certain."""
    return may_end(request) and request.reply is not None


class Excuses:
    def __init__(self, model: Model) -> None:
        self._model = model

    def takes_place_within(self, stored: Stored, begun: float, ended: float) -> bool:
        """Whether a delayed message may take its place between two pages, and so be on neither.

        While the store fails, it takes its place later. If it is seen later, it was not lost.
        """
        message = stored.message
        if message is None or not is_delayed(message.headers) or self._model.earliest_place(message) > ended:
            return False
        return begun < self._model.latest_place(message) or ended < self._last_seen.get(message.uid, 0)

    @cached_property
    def _last_seen(self) -> dict[str, float]:
        """When each message was shown for the last time, by uid."""
        last: dict[str, float] = {}
        for mailbox in self._model.mailboxes.values():
            for seen, by in mailbox.sightings():
                if seen.uid is not None:
                    last[seen.uid] = max(last.get(seen.uid, 0), span(by)[1])
        return last

    def may_be_gone(self, stored: Stored, until: float) -> bool:
        """Whether the message may have left its mailbox before the moment `until`."""
        mailbox, message = stored.mailbox, stored.message
        if any(
            may_end(request) and request.begun <= until for request in mailbox.endings.get(stored.msg_id, ())
        ):
            return True
        if until >= self._model.earliest_mailbox_end(mailbox, until):
            return True
        if message is None:
            return False
        return (
            until >= self._model.earliest_end(message)
            or self._is_replaced(message, stored.msg_id, until)
            or self._is_discarded(mailbox, stored.msg_id, until)
            or self._is_dead(mailbox, until)
        )

    @cached_property
    def _by_key(self) -> dict[tuple[str, str], list[Message]]:
        found = defaultdict(list)
        for message in self._model.messages.values():
            if "Mq9-Key" in message.headers:
                found[message.address, message.headers["Mq9-Key"]].append(message)
        return found

    def _is_replaced(self, message: Message, msg_id: int, until: float) -> bool:
        key = message.headers.get("Mq9-Key")
        if key is None:
            return False
        return any(
            other is not message and _is_newer(other, msg_id) and other.begun <= until
            for other in self._by_key[message.address, key]
        )

    def _is_discarded(self, mailbox: Mailbox, msg_id: int, until: float) -> bool:
        if mailbox.options.get("discard") != "old":
            return False
        sent = [one for one in mailbox.messages if not one.is_refused and one.begun <= until]
        if not any(_is_newer(one, msg_id) for one in sent):
            return False
        if len(sent) > (mailbox.options.get("max_messages") or FOREVER):
            return True
        return sum(map(most_bytes, sent)) > (mailbox.options.get("max_bytes") or FOREVER)

    def _is_dead(self, mailbox: Mailbox, until: float) -> bool:
        """The rules about dead letters say where it must be then."""
        if not mailbox.options.get("max_deliver"):
            return False
        return any(one.group and one.begun <= until for one in mailbox.subscriptions)


def _is_newer(message: Message, msg_id: int) -> bool:
    return not message.is_refused and (message.msg_id is None or message.msg_id > msg_id)
