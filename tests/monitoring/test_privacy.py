"""To know a private address is to hold the right to use it: no page has one in full."""

import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from mq9fast.monitoring.privacy import masked
from tests.support.broker import Broker
from tests.support.monitoring import get, monitor_port, read
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire

PRIVATE = 60
PREFIXES: tuple[dict[str, str], ...] = ({}, {"prefix": "task"})
OPTIONS = (
    "",
    "?subs=1",
    "?subs=true&auth=1",
    "?subs=detail&auth=1",
    "?subs=1&sort=subs",
    "?subs=1&state=any",
    "?limit=3&subs=1",
    "?limit=3",
)
PAGES = ("/", "/healthz", "/varz", "/connz", "/subsz", "/subscriptionsz", "/mailboxz", "/metrics", "/nothing")


@pytest.fixture(scope="module")
def addresses(monitored: Broker) -> Iterator[list[str]]:
    """Private addresses: of mailboxes with messages, readers and groups, of some to come and some gone, and
    some that clients use as their own name or language, as a queue, a subject or a subscription's id."""
    with ExitStack() as stack:
        wire = stack.enter_context(Wire(monitored.port))
        made = [wire.create(**PREFIXES[number % 2])["mail_address"] for number in range(PRIVATE)]
        made += [wire.create(name=f"chosen.private.name{number}")["mail_address"] for number in range(5)]
        gone = [wire.create(ttl=1)["mail_address"] for _ in range(5)]
        to_come = [f"still.to.come.{number}" for number in range(5)]
        for number, address in enumerate(made + gone + to_come):
            wire.pub(f"{MAILBOX}MSG.{address}", b"hello")
            said = ("name", "lang", "version") if address in made else ()
            reader = stack.enter_context(Wire(monitored.port, dict.fromkeys(said, address)))
            for tail in ("", ".*", ".urgent"):
                reader.sub(f"{MAILBOX}MSG.{address}{tail}", f"s{tail}")
                reader.sub(f"{MAILBOX}MSG.{address}{tail}", f"q{tail}", queue="group")
            if number < len(made):
                reader.sub(address, "plain")
                reader.sub("other", address, queue=address)
                reader.sub(f"{MAILBOX}MSG.{address}", "queue", queue=address)
            reader.ping()
        wait_until(lambda: read_expired(monitored) == len(gone))
        yield made + gone + to_come


def read_expired(broker: Broker) -> int:
    return int(read(monitor_port(broker), "/mailboxz?limit=1")["expired"])


@pytest.mark.parametrize("path", PAGES)
def test_no_page_has_a_private_address_in_full(addresses: list[str], port: int, path: str) -> None:
    for options in OPTIONS:
        text = get(port, path + options)[2].decode()
        assert [address for address in addresses if address in text] == []


def test_nor_has_what_is_asked_for_by_it(addresses: list[str], port: int) -> None:
    for address in addresses[-3:] + addresses[:3]:
        for path in PAGES:
            for name in ("sort", "limit", "cursor", "cid", "subs", "state", "auth"):
                assert address not in get(port, f"{path}?{name}={address}")[2].decode()
        for test in (f"{MAILBOX}MSG.{address}", f"{MAILBOX}MSG.{address}.urgent", f"{address}..x", address):
            assert address not in get(port, f"/subsz?subs=1&test={test}")[2].decode()


def test_nor_has_any_further_page(addresses: list[str], port: int) -> None:
    cursor, pages = "", 0
    while True:
        text = get(port, f"/mailboxz?limit=7&cursor={cursor}")[2].decode()
        assert [address for address in addresses if address in text] == []
        pages += 1
        if not (found := re.search(r'"next":"(.*?)"', text)):
            break
        cursor = found[1]
    assert pages >= PRIVATE // 7


def test_nor_has_the_log(addresses: list[str], monitored: Broker) -> None:
    text = monitored.log.read_text()
    assert [address for address in addresses if address in text] == []


def test_what_is_shown_is_of_no_use(addresses: list[str], port: int) -> None:
    shown = [box["address"] for box in read(port, "/mailboxz")["mailboxes"] if not box["public"]]
    assert len(shown) == PRIVATE + 5
    for text in shown:
        assert text.endswith("\u2026")
        assert len(text) <= 9
    rows = read(port, "/subsz?subs=1&limit=5000")["subscriptions_list"]
    subjects = [row["subject"] for row in rows if row["subject"].startswith(f"{MAILBOX}MSG.")]
    assert {re.sub(r"^.*\u2026", "", subject) for subject in subjects} == {"", ".*", ".urgent"}


def test_a_public_address_is_shown_while_its_mailbox_lives(monitored: Broker, port: int) -> None:
    with Wire(monitored.port, {"name": "public.one"}) as wire:
        wire.create(name="public.one", public=True)
        wire.sub(f"{MAILBOX}MSG.public.one.urgent", queue="public.one")
        wire.ping()
        path = f"/connz?subs=detail&cid={wire.info['client_id']}"
        shown = read(port, path)["connections"][0]
        assert shown["name"] == "public.one"
        detail = shown["subscriptions_list_detail"][0]
        assert (detail["subject"], detail["qgroup"]) == (f"{MAILBOX}MSG.public.one.urgent", "public.one")

        def subject() -> str:
            return str(read(port, path)["connections"][0]["subscriptions_list_detail"][0]["subject"])

        wire.create(name="public.one", public=True, ttl=1)
        wait_until(lambda: subject() == f"{MAILBOX}MSG.pu\u2026.urgent")


@pytest.mark.parametrize(
    ("address", "shown"), [("a", ""), ("abc", ""), ("abcd", "a"), ("a" * 31, "a" * 7), ("b" * 128, "b" * 8)]
)
def test_a_quarter_and_eight_characters_at_most(address: str, shown: str) -> None:
    assert masked(address) == shown + "\u2026"
