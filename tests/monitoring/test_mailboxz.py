"""/mailboxz: totals, the fields of a mailbox and its groups, paging, and a store that fails."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mq9fast._core.base.broker_time import BrokerTime
from mq9fast.errors import StoreError
from mq9fast.monitoring.page import HttpError
from mq9fast.monitoring.pages.mailboxz import Mailboxz
from mq9fast.monitoring.privacy import Privacy
from tests.support.broker import Broker
from tests.support.data_directory import overwrite
from tests.support.in_memory import Core, pub
from tests.support.monitoring import monitor_port, read, refusal
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire


@pytest.fixture
def empty(start_broker: Callable[..., Broker]) -> Broker:
    """A broker without mailboxes."""
    return start_broker("--monitor-port", "0")


@pytest.fixture
def wire(monitored: Broker) -> Iterator[Wire]:
    with Wire(monitored.port) as wire:
        yield wire


def find(port: int, address: str) -> dict[str, Any]:
    """The entry of a public mailbox on the page."""
    (found,) = [box for box in read(port, "/mailboxz")["mailboxes"] if box["address"] == address]
    return dict(found)


def unix(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def walk(port: int, limit: int) -> list[list[dict[str, Any]]]:
    """The mailboxes of every page, from the first to the last."""
    page = read(port, f"/mailboxz?limit={limit}")
    pages = [page["mailboxes"]]
    while "next" in page:
        page = read(port, f"/mailboxz?limit={limit}&cursor={page['next']}")
        pages.append(page["mailboxes"])
    return pages


def test_totals(empty: Broker) -> None:
    port = monitor_port(empty)
    before = read(port, "/mailboxz")
    assert before["mailboxes"] == []
    assert [before[name] for name in ("total", "messages", "bytes", "expired", "limit")] == [0, 0, 0, 0, 1024]
    assert before["server_id"] == read(port, "/varz")["server_id"]
    with Wire(empty.port) as wire:
        address = wire.create()["mail_address"]
        wire.create(name="short", public=True)
        for payload in (b"1", b"22", b"333"):
            wire.msg(address, payload)
        wire.delete(address, 0)
        page = read(port, "/mailboxz")
        assert [page[name] for name in ("total", "messages", "bytes")] == [2, 2, 5]
        wire.create(name="short", public=True, ttl=1)
        wait_until(lambda: read(port, "/mailboxz")["expired"] == 1)
        assert [box["public"] for box in read(port, "/mailboxz")["mailboxes"]] == [False]


def test_fields_of_a_mailbox(port: int, wire: Wire) -> None:
    begun = time.time()
    wire.create(name="one.box", public=True, ttl=600, desc="private text")
    for tail in ("", "", ".urgent", ".critical", ".critical"):
        wire.msg(f"one.box{tail}", b"12345", b"NATS/1.0\r\na: b\r\n\r\n")
    wire.delete("one.box", 1)
    box = find(port, "one.box")
    assert box["public"] is True
    assert box["messages"] == {"critical": 2, "urgent": 1, "normal": 1}
    assert (box["bytes"], box["next_id"], box["subscribers"], box["groups"]) == (4 * 23, 5, 0, [])
    assert begun - 1 < unix(box["oldest_message"]) < time.time() + 1
    assert box["ttl"] == 600
    assert begun + 599 < unix(box["expires"]) < time.time() + 601
    assert "private text" not in json.dumps(box)


def test_fields_without_a_value_are_left_out(port: int, wire: Wire) -> None:
    wire.create(name="bare.box", public=True)
    box = find(port, "bare.box")
    assert box.keys() & {"expires", "oldest_message"} == set()
    assert (box["ttl"], box["next_id"]) == (0, 0)


def test_oldest_message_is_the_oldest_of_all_priorities(port: int, wire: Wire) -> None:
    wire.create(name="old.box", public=True)
    first = send_first(wire, port, "old.box.critical")
    time.sleep(0.6)
    wire.msg("old.box", b"second")
    wire.msg("old.box.urgent", b"third")
    assert unix(find(port, "old.box")["oldest_message"]) == first
    wire.delete("old.box", 0)
    assert unix(find(port, "old.box")["oldest_message"]) > first + 0.3
    wire.delete("old.box", 1)
    wire.delete("old.box", 2)
    assert "oldest_message" not in find(port, "old.box")


def send_first(wire: Wire, port: int, destination: str) -> float:
    """Send the first message of a mailbox. Returns the time of it that the page shows."""
    wire.msg(destination, b"first")
    return unix(find(port, "old.box")["oldest_message"])


def test_subscribers_and_groups(monitored: Broker, port: int, wire: Wire) -> None:
    wire.create(name="read.box", public=True)
    with ExitStack() as stack:
        readers = [stack.enter_context(Wire(monitored.port)) for _ in range(2)]
        members = [stack.enter_context(Wire(monitored.port)) for _ in range(3)]
        for reader in readers:
            reader.subscribe("read.box")
            reader.ping()
        for member, queue in zip(members, ("workers", "workers", "audit"), strict=True):
            member.subscribe("read.box", queue=queue)
            member.ping()
        for payload in ("1", "2", "3", "4"):
            wire.msg("read.box", payload)
        box = find(port, "read.box")
        assert box["subscribers"] == 2
        groups = {group.pop("name"): group for group in box["groups"]}
        assert groups == {
            "workers": {"members": 2, "in_flight": 4, "returned": 0},
            "audit": {"members": 1, "in_flight": 4, "returned": 0},
        }
        members[0].close()
        readers[0].close()
        wait_until(lambda: find(port, "read.box")["subscribers"] == 1)
        wait_until(lambda: find(port, "read.box")["groups"][0]["members"] == 1)
        wire.delete("read.box", 0)
        wire.delete("read.box", 1)
        groups = {group["name"]: group for group in find(port, "read.box")["groups"]}
        assert groups["workers"] == {"name": "workers", "members": 1, "in_flight": 2, "returned": 0}
    wait_until(lambda: find(port, "read.box")["groups"] == [])


def test_a_message_that_no_member_subscribes_to_counts_as_returned(
    monitored: Broker, port: int, wire: Wire
) -> None:
    wire.create(name="back.box", public=True)
    with Wire(monitored.port) as urgent, Wire(monitored.port) as leaving:
        urgent.sub(f"{MAILBOX}MSG.back.box.urgent", queue="q")
        urgent.ping()
        leaving.sub(f"{MAILBOX}MSG.back.box.normal", queue="q")
        leaving.ping()
        wire.msg("back.box", b"1")
        leaving.message()
        leaving.close()
        back = [{"name": "q", "members": 1, "in_flight": 0, "returned": 1}]
        wait_until(lambda: find(port, "back.box")["groups"] == back)


@pytest.mark.parametrize("limit", [1, 7, 300])
def test_pages_list_mailboxes_in_the_order_of_addresses(empty: Broker, limit: int) -> None:
    port = monitor_port(empty)
    names = [f"page.n{number:03}" for number in range(300)]
    with Wire(empty.port) as wire:
        for name in names[:: 1 if limit > 1 else 10]:
            wire.create(name=name, public=True)
    pages = walk(port, limit)
    assert [box["address"] for page in pages for box in page] == names[:: 1 if limit > 1 else 10]
    assert {len(page) for page in pages[:-1]} <= {limit}


def test_paging_continues_while_mailboxes_are_created_and_expire(empty: Broker) -> None:
    port = monitor_port(empty)
    with Wire(empty.port) as wire:
        for number in range(0, 100, 2):
            wire.create(name=f"go.n{number:02}", public=True)
        first = read(port, "/mailboxz?limit=10")
        assert first["mailboxes"][-1]["address"] == "go.n18"
        wire.create(name="go.n18", public=True, ttl=1)
        for number in range(1, 100, 2):
            wire.create(name=f"go.n{number:02}", public=True)
        wait_until(lambda: read(port, "/mailboxz")["expired"] == 1)
        second = read(port, f"/mailboxz?limit=100&cursor={first['next']}")
    assert [box["address"] for box in second["mailboxes"]] == [
        f"go.n{number:02}" for number in range(19, 100)
    ]
    assert "next" not in second


def test_a_cursor_can_be_used_again_and_an_unknown_one_is_refused(port: int, wire: Wire) -> None:
    for name in ("cursor.a", "cursor.b"):
        wire.create(name=name, public=True)
    cursor = read(port, "/mailboxz?limit=1")["next"]
    assert len({json.dumps(read(port, f"/mailboxz?cursor={cursor}")["mailboxes"]) for _ in range(3)}) == 1
    assert refusal(port, "/mailboxz?cursor=abc").startswith("The parameter cursor must be ")


@pytest.mark.parametrize("query", ["limit=x", "limit=1.5", "limit=" + "9" * 30])
def test_error_names_the_wrong_parameter(port: int, query: str) -> None:
    assert refusal(port, f"/mailboxz?{query}").startswith("The parameter limit must be ")


def test_a_store_that_cannot_be_read_is_a_503() -> None:
    core = Core()
    core.create(b"box")
    core.session().feed(pub(MAILBOX.encode() + b"MSG.box", b"x"))
    core.end_turn()
    core.store.failing = StoreError("broken")
    mailboxes = SimpleNamespace(mailbox_index=core.mailbox_index, expired=0)
    engine, handshake = SimpleNamespace(time=BrokerTime()), SimpleNamespace(server_id="id")
    broker: Any = SimpleNamespace(mailboxes=mailboxes, engine=engine, handshake=handshake)
    with pytest.raises(HttpError, match="could not be read") as refused:
        list(Mailboxz(broker, cast(Any, core.store), Privacy(core.mailbox_index)).page("").pieces)
    assert refused.value.status == 503


def test_a_corrupt_message_leaves_out_oldest_message(empty: Broker) -> None:
    with Wire(empty.port) as wire:
        for name in ("bad", "good"):
            wire.create(name=name, public=True)
            wire.msg(name, f"message of {name}")
    empty.stop()
    overwrite(empty.data_dir, b"m", b"message of bad", b"garbage")
    empty.start()
    bad, good = read(monitor_port(empty), "/mailboxz")["mailboxes"]
    assert "oldest_message" not in bad
    assert "oldest_message" in good


def test_twenty_thousand_mailboxes_on_one_page(empty: Broker) -> None:
    port = monitor_port(empty)
    with Wire(empty.port) as wire:
        wire.send(f"PUB {MAILBOX}CREATE 2\r\n{{}}\r\n".encode() * 19_999)
        # The reply means that this mailbox and all before it are stored, so the page shows them.
        wire.create()
        assert read(port, "/mailboxz?limit=1")["total"] == 20_000
        boxes = read(port, "/mailboxz?limit=30000")["mailboxes"]
    assert len({box["uid"] for box in boxes}) == 20_000
