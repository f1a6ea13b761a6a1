"""What users with permissions see of the bulletin board: mailboxes whose LIST they may publish."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.mailbox import create_line
from tests.support.wire_client import MAILBOX, Wire

LIST = f"{MAILBOX}LIST"
DENIED = 2000
CONFIG = f"""
[[users]]
user = "all"
password = "all"

[[users]]
user = "open"
password = "open"
permissions.publish = ["{LIST}", "{LIST}.open.>", "{LIST}.z"]

[[users]]
user = "denied"
password = "denied"
permissions.publish = {{ deny = ["{LIST}.open.b", "{LIST}.hidden.>"] }}

[[users]]
user = "none"
password = "none"
permissions.publish = ["{LIST}.>", "plain"]

[[users]]
user = "board"
password = "board"
permissions.publish = "{LIST}"
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker with mailboxes `open.a` to `open.c`, many `hidden` ones, and `z`."""
    directory = tmp_path_factory.mktemp("board")
    (directory / "mq9.toml").write_text(CONFIG)
    broker = Broker(directory / "data", "--config", str(directory / "mq9.toml"), "--sync", "never")
    with as_user(broker, "all") as wire:
        addresses = ["open.a", "open.b", "open.c", "z", *(f"hidden.secret{n:04}" for n in range(DENIED))]
        wire.send("".join(create_line(name=address, public=True) for address in addresses))
        wire.ping()
    yield broker
    broker.end()


def as_user(broker: Broker, user: str) -> Wire:
    return Wire(broker.port, {"user": user, "pass": user})


def pages(wire: Wire, **fields: Any) -> list[dict[str, Any]]:
    found = [wire.request(LIST, fields).json]
    while "next" in found[-1]:
        found.append(wire.request(LIST, {**fields, "cursor": found[-1]["next"]}).json)
    return found


def names(found: list[dict[str, Any]]) -> list[str]:
    return [entry["mail_address"] for page in found for entry in page["mailboxes"]]


def decode(cursor: str) -> bytes:
    return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("open", ["open.a", "open.b", "open.c", "z"]),
        ("denied", ["open.a", "open.c", "z"]),
        ("board", []),
    ],
)
def test_user_sees_only_mailboxes_whose_list_it_may_publish(
    broker: Broker, user: str, expected: list[str]
) -> None:
    with as_user(broker, user) as wire:
        found = pages(wire)
        assert names(found) == expected
        # Pages that met only mailboxes that are not allowed are empty, and have `next`.
        assert 5 < len([page for page in found if not page["mailboxes"]]) < DENIED / 100
        assert names(pages(wire, limit=1)) == expected
        assert names(pages(wire, prefix="open.")) == [each for each in expected if each != "z"]


def test_user_without_permissions_sees_all(broker: Broker) -> None:
    with as_user(broker, "all") as wire:
        assert len(names(pages(wire))) == DENIED + 4


def test_board_needs_a_permission_of_its_own(broker: Broker) -> None:
    with as_user(broker, "none") as wire:
        wire.sub("answers", "1")
        wire.pub(LIST, "", "answers")
        assert wire.line() == f"-ERR 'Permissions Violation for Publish to \"{LIST}\"'"
        assert wire.list("open.a")["total"] == 0


def test_cursor_does_not_tell_which_mailboxes_are_hidden(broker: Broker) -> None:
    with as_user(broker, "board") as wire:
        cursors = [page["next"] for page in pages(wire) if "next" in page]
        assert len(cursors) > 5
        for cursor in cursors:
            raw = decode(cursor)
            assert not any(word in raw for word in (b"hidden", b"secret", b"open"))
        assert {len(cursor) for cursor in cursors} == {len(cursors[0])}
        assert not set(cursors) & {page.get("next") for page in pages(wire)}


def test_sealed_cursor_that_was_changed_is_refused(broker: Broker) -> None:
    with as_user(broker, "board") as wire:
        cursor = wire.request(LIST).json["next"]
        raw = decode(cursor)
        for at in (1, 30, len(raw) - 1):
            changed = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
            forged = base64.urlsafe_b64encode(changed).decode()
            assert wire.request(LIST, {"cursor": forged}).json["code"] == "bad_request"
        short = base64.urlsafe_b64encode(raw[:20]).decode()
        assert wire.request(LIST, {"cursor": short}).json["code"] == "bad_request"


def test_cursor_of_another_user_shows_nothing_more(broker: Broker) -> None:
    with as_user(broker, "all") as wire, as_user(broker, "open") as other:
        cursor = wire.request(LIST, {"limit": 10}).json["next"]
        body = json.dumps({"prefix": "hidden.", "cursor": cursor})
        assert other.request(LIST, body).json["mailboxes"] == []
