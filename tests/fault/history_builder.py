"""Histories written by hand, for tests of the checker."""

import itertools
import json
from typing import Any

from tests.fault.history.history import History
from tests.fault.history.records import (
    Delivery,
    Event,
    Fault,
    Listing,
    Request,
    Sighting,
    Subscription,
    Watch,
)


class Builder:
    """Writes a history, one operation after the other, of a hundredth of a second each. `user`: the name with
    which its client signed in."""

    def __init__(self) -> None:
        self.history = History()
        self.time = 100.0
        self.user = ""
        self._numbers = itertools.count(1)
        self._uids = itertools.count()

    def pass_time(self, seconds: float) -> None:
        self.time += seconds

    def request(
        self, verb: str, address: str, asked: dict[str, Any], reply: dict[str, Any] | None
    ) -> Request:
        begun = self.time
        self.pass_time(0.01)
        ended = None if reply is None else self.time
        request = Request(verb, "client", address, asked, begun, ended, reply, self.user)
        self.pass_time(0.01)
        self.history.add(request)
        return request

    def create(self, address: str = "box", *, is_new: bool = True, **options: Any) -> None:
        self.request("create", address, options, {"mail_address": address, "is_new": is_new})

    def send(self, msg_id: int | None, address: str = "box", **more: Any) -> Sighting:
        """A MSG. `msg_id`: in its reply; None if there is none. `asked`: more of what was asked. Returns what
        a listing shows of it."""
        headers = more.pop("headers", {})
        priority = more.pop("priority", "normal")
        uid = f"u{next(self._uids)}"
        reply = None if msg_id is None else {"msg_id": msg_id}
        asked = {"uid": uid, "priority": priority, "headers": headers, **more.pop("asked", {})}
        self.request("msg", address, asked, more.pop("reply", reply))
        shown = {**headers, "Mq9-From": self.user} if self.user else headers
        return Sighting(address, -1 if msg_id is None else msg_id, priority, uid, shown)

    def delete(self, seen: Sighting, deleted: bool | None = True) -> None:
        reply = None if deleted is None else {"deleted": deleted}
        self.request("delete", seen.address, {"msg_id": seen.msg_id}, reply)

    def answer(self, delivery: Delivery, body: str = "", reply: Any = "", uid: str | None = None) -> None:
        asked = {"msg_id": delivery.seen.msg_id, "body": body, "uid": uid, "delivery": delivery.number}
        keeps = body.startswith(("-NAK", "+WPI"))
        self.request("answer", delivery.seen.address, asked, reply or {"deleted": not keeps})

    def list(self, *seen: Sighting, address: str = "box", **more: Any) -> None:
        begun = self.time
        self.pass_time(0.01)
        more.setdefault("total", len(seen))
        self.history.add(Listing("client", address, begun, self.time, messages=list(seen), **more))
        self.pass_time(0.01)

    def subscribe(self, group: str = "", address: str = "box") -> Subscription:
        subscription = Subscription(next(self._numbers), "client", address, "", group, self.time)
        self.history.add(subscription)
        self.pass_time(0.01)
        return subscription

    def deliver(self, to: Subscription, seen: Sighting) -> Delivery:
        delivery = Delivery(next(self._numbers), to.number, seen, self.time + 0.01, self.time)
        self.history.add(delivery)
        self.pass_time(0.02)
        return delivery

    def watch(self, address: str = "box", state: str = "alive", *, detailed: bool = True) -> Watch:
        """Watch a mailbox to the end of the history, beginning with this state; "" for none."""
        watch = Watch(next(self._numbers), "client", address, detailed, self.time, float("inf"))
        self.history.add(watch)
        if state:
            self.tell(watch, state)
        return watch

    def tell(self, watch: Watch, event: str, **more: Any) -> None:
        told = {"event": event, **more}
        self.history.add(Event(watch.number, watch.address, told, self.time + 0.01, self.time))
        self.pass_time(0.02)

    def fault(self, kind: str) -> None:
        self.history.add(Fault(kind, self.time, self.time + 0.01))
        self.pass_time(0.02)


def again(seen: Sighting, deliveries: int) -> Sighting:
    """A message as a member gets it that is delivered once more, for the `deliveries`th time."""
    headers = {**seen.headers, "Mq9-Deliveries": str(deliveries)}
    return Sighting(seen.address, seen.msg_id, seen.priority, seen.uid, headers)


def dead(seen: Sighting, msg_id: int, **headers: str) -> Sighting:
    """A message as a dead letter."""
    origin = {"Mq9-Dead-From": f"{seen.address}/{seen.msg_id}", "Mq9-Deliveries": "1"}
    return Sighting("dead", msg_id, seen.priority, seen.uid, {**seen.headers, **origin, **headers})


def receipt(of: Sighting, msg_id: int, event: str = "settled", how: str = "deleted", **more: str) -> Sighting:
    told = {"mail_address": of.address, "msg_id": of.msg_id, "event": event, "how": how, **more}
    text = json.dumps(told)
    return Sighting("log", msg_id, "normal", None, {"Mq9-Receipt": event}, text)
