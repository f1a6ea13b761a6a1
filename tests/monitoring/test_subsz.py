"""/subsz, and /subscriptionsz, which is the same page."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.monitoring import monitor_port, read, refusal
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire

SUBJECTS = [("a.b", ""), ("a.*", ""), ("a.>", "q"), ("a.b", "q"), ("z", "")]
TAILS = ["", ".*", ".urgent", ".critical", ".normal"]


@pytest.fixture(scope="module")
def wire(monitored: Broker) -> Iterator[Wire]:
    """The only client. It subscribes to SUBJECTS, and to a public mailbox with each of TAILS."""
    with Wire(monitored.port) as wire:
        for number, (subject, queue) in enumerate(SUBJECTS):
            wire.sub(subject, str(number), queue)
        wire.create(name="public.box", public=True)
        for tail in TAILS:
            wire.sub(f"{MAILBOX}MSG.public.box{tail}", f"box{tail}")
        wire.ping()
        yield wire


def subjects(page: dict[str, Any]) -> list[str]:
    return [row["subject"] for row in page["subscriptions_list"]]


def test_counters(wire: Wire, port: int) -> None:
    before = read(port, "/subsz")
    assert before["num_subscriptions"] == len(SUBJECTS) + len(TAILS)
    assert (before["total"], before["offset"], before["limit"]) == (0, 0, 1024)
    assert "subscriptions_list" not in before
    # A message to the same subject as the one before needs no lookup.
    wire.send("SUB more 99\r\nUNSUB 99\r\n" + "PUB a.b 0\r\n\r\nPUB a.b 0\r\n\r\nPUB nobody 0\r\n\r\n" * 3)
    wire.ping()
    wire.received.clear()
    after = read(port, "/subscriptionsz")
    changes = {name: after[name] - before[name] for name in ("num_inserts", "num_removes", "num_matches")}
    assert changes == {"num_inserts": 1, "num_removes": 1, "num_matches": 6}
    assert (after["num_cache"], after["max_fanout"], after["avg_fanout"]) == (2, 4, 2.0)
    assert before["cache_hit_rate"] < after["cache_hit_rate"] < 1


def test_subs_lists_every_subscription(wire: Wire, port: int) -> None:
    page = read(port, "/subsz?subs=1")
    mailboxes = [f"{MAILBOX}MSG.public.box{tail}" for tail in TAILS]
    assert subjects(page) == [subject for subject, _ in SUBJECTS] + mailboxes
    assert page["total"] == page["num_subscriptions"] == len(page["subscriptions_list"])
    third = page["subscriptions_list"][2]
    assert (third["qgroup"], third["sid"]) == ("q", "2")


@pytest.mark.parametrize(("offset", "limit", "count"), [(0, 3, 3), (8, 5, 2), (10, 1, 0), (2, 0, 8)])
def test_offset_and_limit(wire: Wire, port: int, offset: int, limit: int, count: int) -> None:
    page = read(port, f"/subsz?subs=1&offset={offset}&limit={limit}")
    assert subjects(page) == subjects(read(port, "/subsz?subs=1"))[offset : offset + count]
    assert (page["total"], page["offset"], page["limit"]) == (10, offset, limit or 1024)


def test_paging_over_several_connections(wire: Wire, monitored: Broker, port: int) -> None:
    with Wire(monitored.port) as second, Wire(monitored.port) as third:
        for other in (second, third):
            other.send("SUB x 1\r\nSUB y 2\r\n")
            other.ping()
        listed = [(row["cid"], row["sid"]) for row in read(port, "/subsz?subs=1")["subscriptions_list"]]
        assert len(set(listed)) == 14
        paged = []
        for offset in range(0, 15, 3):
            page = read(port, f"/subsz?subs=1&offset={offset}&limit=3")
            paged += [(row["cid"], row["sid"]) for row in page["subscriptions_list"]]
        assert paged == listed


@pytest.mark.parametrize(
    ("test", "found"),
    [
        ("a.b", ["a.*", "a.>", "a.b", "a.b"]),
        ("a.c.d", ["a.>"]),
        ("nobody", []),
        (f"{MAILBOX}MSG.public.box", ["", ".*", ".normal"]),
        (f"{MAILBOX}MSG.public.box.urgent", ["", ".*", ".urgent"]),
        (f"{MAILBOX}MSG.public", []),
        (f"{MAILBOX}CREATE", []),
    ],
)
def test_test_lists_the_subscriptions_that_get_a_message(
    wire: Wire, port: int, test: str, found: list[str]
) -> None:
    page = read(port, f"/subsz?subs=1&test={test}")
    prefix = f"{MAILBOX}MSG.public.box" if test.startswith("$") else ""
    assert sorted(subjects(page)) == sorted(prefix + one for one in found)
    assert page["total"] == len(found)


def test_subscriptions_that_a_reload_ends_are_removed(
    start_broker: Callable[..., Broker], tmp_path: Path
) -> None:
    config = tmp_path / "mq9.toml"
    anna = '[[users]]\nuser = "anna"\npassword = "anna"\n'
    config.write_text(anna)
    broker = start_broker("--monitor-port", "0", "--config", str(config))
    port = monitor_port(broker)
    with Wire(broker.port, {"user": "anna", "pass": "anna"}) as wire:
        wire.send("SUB a 1\r\nSUB b 2\r\n")
        wire.ping()
        config.write_text(anna + 'permissions.subscribe = "a"\n')
        broker.process.send_signal(signal.SIGHUP)
        wait_until(lambda: read(port, "/subsz")["num_removes"] == 1)
        assert subjects(read(port, "/subsz?subs=1")) == ["a"]
        assert read(port, "/subsz")["num_subscriptions"] == 1
    wait_until(lambda: read(port, "/varz")["subscriptions"] == 0)


@pytest.mark.parametrize("query", ["subs=detail", "limit=all", "test=a.*", "test=a..b", "test=>"])
def test_error_names_the_wrong_parameter(port: int, query: str) -> None:
    for path in ("/subsz", "/subscriptionsz"):
        assert refusal(port, f"{path}?{query}").startswith(
            f"The parameter {query.partition('=')[0]} must be "
        )
