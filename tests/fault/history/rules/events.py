"""A client that watches a mailbox is told what becomes of it, in order, and nothing else."""

from collections.abc import Iterator

from tests.fault.history.excuses import ends, may_end
from tests.fault.history.model import Mailbox, Model
from tests.fault.history.records import Event, Request, Violation, Watch

# The first event is one of these, and the next one where events were lost.
STATES = {"alive": True, "absent": False}
CHANGES = {"created": True, "expired": False}


def check(model: Model) -> Iterator[Violation]:
    for mailbox in model.mailboxes.values():
        for watch in mailbox.watches:
            events = model.events[watch.number]
            yield from _in_order(mailbox, events)
            for event in events:
                if not _is_true(model, mailbox, event):
                    yield Violation("event", f"nothing like {event.told} can have happened", [event])
            # A subscriber whose socket is full loses events.
            if events and not any(event.name in STATES for event in events[1:]):
                yield from _is_complete(mailbox, watch, events)


def _in_order(mailbox: Mailbox, events: list[Event]) -> Iterator[Violation]:
    if events and events[0].name not in STATES:
        yield Violation("event", f"the events of {mailbox.address} do not begin with its state", events[:1])
        return
    exists = False
    for event in events:
        if event.name in CHANGES and exists == CHANGES[event.name]:
            yield Violation("event", f"{mailbox.address} is {event.name}, and was before", [event])
        exists = (STATES | CHANGES).get(event.name, exists)


def _is_true(model: Model, mailbox: Mailbox, event: Event) -> bool:
    told = event.told
    match event.name:
        case "created":
            possible = (one for one in mailbox.creates if one.reply is None or one.reply.get("is_new"))
            return any(one.begun <= event.time for one in possible)
        case "expired":
            return event.time >= model.earliest_mailbox_end(mailbox, event.since)
        case "settled":
            requests = mailbox.endings.get(told["msg_id"], ())
            return any(
                may_end(one) and one.begun <= event.time and one.user == told.get("by", "")
                for one in requests
            )
        case "dead_letter":
            return "dead_letter" in mailbox.options
        case "dropped" if told["reason"] == "replaced":
            has_keys = any("Mq9-Key" in one.headers for one in mailbox.messages)
            return mailbox.options.get("discard") == "old" or has_keys
        case "waiting":
            return int(told["total"]) > 0
    return True


def _is_complete(mailbox: Mailbox, watch: Watch, events: list[Event]) -> Iterator[Violation]:
    def is_watched(request: Request) -> bool:
        ended = request.ended is not None and request.ended < watch.complete_until
        return request.begun > events[0].time and ended

    settled = {event.told["msg_id"] for event in events if event.name == "settled"}
    for msg_id, requests in mailbox.endings.items() if watch.detailed else ():
        for one in requests:
            is_dead = one.asked.get("body", "").startswith("+TERM")
            if is_watched(one) and ends(one) and not is_dead and msg_id not in settled:
                yield Violation("event", f"nothing tells that {mailbox.address}/{msg_id} is settled", [one])
    created = [event.time for event in events if event.name == "created"]
    for life in mailbox.lives:
        if is_watched(life) and not any(time >= life.begun for time in created):
            yield Violation("event", f"nothing tells that {mailbox.address} is created", [life])
