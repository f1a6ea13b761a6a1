"""Histories with one fault each: of events, and of who is said to have done something."""

from collections.abc import Callable

from tests.fault.history_builder import Builder, receipt


def message_of_another(on: Builder) -> None:
    on.create()
    seen = on.send(0)
    seen.headers["Mq9-From"] = "somebody"
    on.list(seen)


def sender_is_not_told(on: Builder) -> None:
    on.user = "anna"
    on.create()
    seen = on.send(0)
    seen.headers.pop("Mq9-From")
    on.list(seen)


def receipt_by_another(on: Builder) -> None:
    on.user = "anna"
    on.create("log")
    on.create(receipts_to="log")
    seen = on.send(0)
    on.delete(seen)
    on.list(receipt(seen, 0, by="bert"), address="log")


def event_before_the_state(on: Builder) -> None:
    watch = on.watch(state="", detailed=False)
    on.create()
    on.tell(watch, "created")


def created_where_it_was(on: Builder) -> None:
    on.create()
    watch = on.watch()
    on.create(is_new=False)
    on.tell(watch, "created")


def created_by_nobody(on: Builder) -> None:
    on.tell(on.watch(state="absent"), "created")


def creation_is_not_told(on: Builder) -> None:
    on.watch(state="absent", detailed=False)
    on.create()


def expired_early(on: Builder) -> None:
    on.create(ttl=1)
    watch = on.watch()
    on.pass_time(0.7)
    on.send(0)
    on.pass_time(0.7)
    on.tell(watch, "expired")


def expired_without_a_ttl(on: Builder) -> None:
    on.create()
    on.tell(on.watch(), "expired")


def settled_by_nobody(on: Builder) -> None:
    on.create()
    watch = on.watch()
    on.send(0)
    on.tell(watch, "settled", msg_id=0, how="deleted")


def settled_by_another(on: Builder) -> None:
    on.user = "anna"
    on.create()
    watch = on.watch()
    on.delete(on.send(0))
    on.tell(watch, "settled", msg_id=0, how="deleted", by="bert")


def settling_is_not_told(on: Builder) -> None:
    on.create()
    on.watch()
    on.delete(on.send(0))


def replaced_by_nothing(on: Builder) -> None:
    on.create()
    watch = on.watch()
    on.send(0)
    on.tell(watch, "dropped", msg_id=0, reason="replaced")


PLANTED_EVENTS: dict[str, list[Callable[[Builder], None]]] = {
    "sender": [message_of_another, sender_is_not_told],
    "event": [
        event_before_the_state, created_where_it_was, created_by_nobody, creation_is_not_told,
        expired_early, expired_without_a_ttl, settled_by_nobody, settled_by_another, settling_is_not_told,
        replaced_by_nothing,
    ],
}  # fmt: skip
