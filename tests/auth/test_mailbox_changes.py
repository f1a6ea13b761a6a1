"""Which users may change an existing mailbox by CREATE: those who may subscribe to all of it."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire

MSG = f"{MAILBOX}MSG."
CONFIG = f"""
[[users]]
user = "owner"
password = "owner"

[[users]]
user = "sender"
password = "sender"
permissions.publish = ["{MAILBOX}CREATE", "{MSG}>"]
permissions.subscribe = ["_INBOX.>", "{MSG}box.urgent"]

[[users]]
user = "priorities"
password = "priorities"
permissions.subscribe = ["_INBOX.>", "{MSG}box.critical", "{MSG}box.urgent", "{MSG}box.normal"]

[[users]]
user = "denied"
password = "denied"
permissions.subscribe = {{ deny = "{MSG}box.critical" }}

[[users]]
user = "reader"
password = "reader"
permissions.publish = ["{MAILBOX}CREATE"]
permissions.subscribe = ["_INBOX.>", "{MSG}dead", "{MSG}dead.*"]

[[users]]
user = "queue"
password = "queue"
permissions.subscribe = ["_INBOX.>", "{MSG}box workers"]
"""
CHANGES: list[dict[str, Any]] = [{"ttl": 61}, {"desc": "other"}, {"max_messages": 6}, {"max_bytes": 1}]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    directory = tmp_path_factory.mktemp("changes")
    (directory / "mq9.toml").write_text(CONFIG)
    broker = Broker(directory / "data", "--config", str(directory / "mq9.toml"))
    yield broker
    broker.end()


def as_user(broker: Broker, user: str) -> Wire:
    return Wire(broker.port, {"user": user, "pass": user})


@pytest.mark.parametrize("user", ["sender", "denied", "queue"])
@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_user_who_may_not_read_all_of_a_mailbox_may_not_change_it(
    broker: Broker, user: str, change: dict[str, Any]
) -> None:
    with as_user(broker, "owner") as owner, as_user(broker, user) as wire:
        owner.create(name="box", ttl=60, desc="first", max_messages=5, max_bytes=0)
        assert wire.create(name="box", **change) == {
            "error": "Only a client that may subscribe to all of this mailbox may change it.",
            "code": "permission_denied",
        }
        assert owner.create(name="box", max_messages=5)["options"] == {"max_messages": 5}


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_user_who_may_read_all_priorities_may_change_a_mailbox(
    broker: Broker, change: dict[str, Any]
) -> None:
    with as_user(broker, "owner") as owner, as_user(broker, "priorities") as wire:
        owner.create(name="box", ttl=60, desc="first", max_messages=5)
        assert wire.create(name="box", **change)["is_new"] is False


def test_every_user_may_renew_a_mailbox(broker: Broker) -> None:
    """Values that the mailbox has already are no change."""
    with as_user(broker, "owner") as owner, as_user(broker, "sender") as wire:
        owner.create(name="box", ttl=60, desc="first", max_messages=5, max_bytes=0)
        same = {"ttl": 60, "desc": "first", "max_messages": 5, "max_bytes": 0}
        assert wire.create(name="box", **same)["options"] == {"max_messages": 5}
        assert wire.create(name="box") == {"mail_address": "box", "is_new": False}


def test_refused_change_does_not_renew(broker: Broker) -> None:
    with as_user(broker, "owner") as owner, as_user(broker, "sender") as wire:
        owner.create(name="short", ttl=1)

        def is_new() -> bool:
            return wire.create(name="short", desc="mine").get("is_new", False)

        wait_until(is_new)


def test_every_user_may_create_a_mailbox_with_options(broker: Broker) -> None:
    with as_user(broker, "sender") as wire:
        assert wire.create(name="mine", max_messages=5, desc="mine", ttl=60)["is_new"] is True
        assert wire.create(name="mine", max_messages=6)["code"] == "permission_denied"


def test_user_may_name_a_mailbox_for_dead_letters_that_it_may_use(broker: Broker) -> None:
    """It may send to it, or subscribe to all of it."""
    with as_user(broker, "sender") as sender, as_user(broker, "reader") as reader:
        assert sender.create(name="s", dead_letter="any.box")["options"] == {"dead_letter": "any.box"}
        assert reader.create(name="r", dead_letter="dead")["options"] == {"dead_letter": "dead"}
        assert reader.create(name="r2", dead_letter="any.box")["code"] == "permission_denied"
