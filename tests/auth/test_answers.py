"""Which mailboxes a client may name in Mq9-Reply-To, and what the broker proves of who answered."""

import json
from collections.abc import Iterator

import pytest

from tests.support.broker import Broker
from tests.support.questions import answer, ask, block, stored
from tests.support.wire_client import MAILBOX, Wire

CONFIG = f"""
[[users]]
user = "owner"
password = "owner"

[[users]]
user = "approver"
password = "approver"
permissions.publish = ["{MAILBOX}DELETE.approvals.*"]
permissions.subscribe = ["_INBOX.>", "{MAILBOX}MSG.approvals"]

[[users]]
user = "writer"
password = "writer"
permissions.publish = ["{MAILBOX}MSG.approvals", "{MAILBOX}MSG.mine"]
permissions.subscribe = ["_INBOX.>"]

[[users]]
user = "reader"
password = "reader"
permissions.publish = "{MAILBOX}MSG.approvals"
permissions.subscribe = ["_INBOX.>", "{MAILBOX}MSG.mine.*"]

[[users]]
user = "half"
password = "half"
permissions.publish = "{MAILBOX}MSG.approvals"
permissions.subscribe = ["_INBOX.>", "{MAILBOX}MSG.mine.urgent", "{MAILBOX}MSG.mine workers"]

[[users]]
user = "creator"
password = "creator"
permissions.publish = ["{MAILBOX}CREATE", "{MAILBOX}MSG.mine"]
permissions.subscribe = "_INBOX.>"
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    directory = tmp_path_factory.mktemp("answers")
    (directory / "mq9.toml").write_text(CONFIG)
    broker = Broker(directory / "data", "--config", str(directory / "mq9.toml"), "--sync", "never")
    with as_user(broker, "owner") as owner:
        owner.create(name="approvals")
        owner.create(name="mine")
    yield broker
    broker.end()


def as_user(broker: Broker, name: str) -> Wire:
    wire = Wire(broker.port, {"user": name, "pass": name})
    wire.ping()
    return wire


@pytest.mark.parametrize("user", ["owner", "writer", "reader"])
def test_user_names_a_mailbox_that_it_may_write_or_read(broker: Broker, user: str) -> None:
    with as_user(broker, user) as wire:
        assert "msg_id" in ask(wire, "approvals", "may I?", "mine")


@pytest.mark.parametrize("user", ["writer", "reader", "half"])
@pytest.mark.parametrize("reply_to", ["approvals2", "mine2", "mine.more.x"])
def test_user_may_not_name_another_mailbox(broker: Broker, user: str, reply_to: str) -> None:
    with as_user(broker, user) as wire:
        assert ask(wire, "approvals", "may I?", reply_to)["code"] == "permission_denied"


def test_a_part_of_the_priorities_and_a_queue_are_not_enough(broker: Broker) -> None:
    with as_user(broker, "half") as wire:
        assert ask(wire, "approvals", "may I?", "mine")["code"] == "permission_denied"


def test_answer_needs_no_right_to_the_asker_and_proves_who_gave_it(broker: Broker) -> None:
    with as_user(broker, "writer") as writer, as_user(broker, "approver") as approver:
        msg_id = ask(writer, "approvals", "may I?", "mine")["msg_id"]
        assert approver.request(f"{MAILBOX}DELETE.approvals.{msg_id}", "yes").json["deleted"] is True
        approver.pub(f"{MAILBOX}MSG.mine", "forged")
        assert "Permissions Violation" in approver.line()
    with as_user(broker, "owner") as owner:
        found = stored(owner, "mine")[-1]
        assert (found["payload"], found["from"]) == ("yes", "approver")
        assert found["headers"]["Mq9-In-Reply-To"] == f"approvals/{msg_id}"
        header = owner.request(f"{MAILBOX}LIST.mine", {"msg_id": found["msg_id"]}).json["messages"][0][
            "headers"
        ]
        assert header["Mq9-From"] == "approver"


def test_forged_sender_of_an_answer_is_replaced(broker: Broker) -> None:
    with as_user(broker, "owner") as owner:
        msg_id = ask(owner, "approvals", "may I?", "mine", Mq9_From="boss")["msg_id"]
        answer(owner, "approvals", msg_id, "yes", Mq9_From="boss", mq9_from="boss", Mq9_In_Reply_To="a/1")
        assert stored(owner, "mine")[-1]["headers"] == {
            "Mq9-From": "owner",
            "Mq9-In-Reply-To": f"approvals/{msg_id}",
        }


def test_receipt_names_who_settled_the_message(broker: Broker) -> None:
    with as_user(broker, "owner") as owner, as_user(broker, "approver") as approver:
        owner.create(name="log")
        header = block(Mq9_Receipt_To="log")
        msg_id = owner.msg("approvals", "a task", header)["msg_id"]
        assert approver.request(f"{MAILBOX}DELETE.approvals.{msg_id}").json == {"deleted": True}
        assert json.loads(stored(owner, "log")[-1]["payload"]) == {
            "mail_address": "approvals",
            "msg_id": msg_id,
            "event": "settled",
            "how": "deleted",
            "by": "approver",
        }


def test_receipt_to_is_under_the_rule_of_reply_to(broker: Broker) -> None:
    with as_user(broker, "writer") as wire:
        assert "msg_id" in wire.msg("approvals", "task", block(Mq9_Receipt_To="mine"))
        assert wire.msg("approvals", "task", block(Mq9_Receipt_To="log"))["code"] == "permission_denied"


def test_receipts_to_is_under_the_rule_of_reply_to(broker: Broker) -> None:
    with as_user(broker, "creator") as wire:
        assert wire.create(name="new1", receipts_to="mine")["options"] == {"receipts_to": "mine"}
        assert wire.create(name="new2", receipts_to="approvals") == {
            "error": "Only a client that may send to this mailbox, or subscribe to all of it, "
            "may name it here.",
            "code": "permission_denied",
        }
