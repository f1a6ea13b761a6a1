"""No page shows a private address in full: a client that knows the address may use the mailbox."""

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
    """Private addresses of live mailboxes with messages, subscribers and groups, of ended mailboxes, and of
    some that do not exist yet. Clients also use them as their name, language or version, as queue, subject
    and sid."""
    with ExitStack() as stack:
        wire = stack.enter_context(Wire(monitored.port))
        made = [wire.create(**PREFIXES[number % 2])["mail_address"] for number in range(PRIVATE)]
        made += [wire.create(name=f"chosen.private.name{number}")["mail_address"] for number in range(5)]
        ended = [wire.create(ttl=1)["mail_address"] for _ in range(5)]
        not_yet = [f"not.created.yet.{number}" for number in range(5)]
        for number, address in enumerate(made + ended + not_yet):
            wire.pub(f"{MAILBOX}MSG.{address}", b"hello")
            options = ("name", "lang", "version") if address in made else ()
            reader = stack.enter_context(Wire(monitored.port, dict.fromkeys(options, address)))
            for tail in ("", ".*", ".urgent"):
                reader.sub(f"{MAILBOX}MSG.{address}{tail}", f"s{tail}")
                reader.sub(f"{MAILBOX}MSG.{address}{tail}", f"q{tail}", queue="group")
            if number < len(made):
                reader.sub(address, "plain")
                reader.sub("other", address, queue=address)
                reader.sub(f"{MAILBOX}MSG.{address}", "queue", queue=address)
            reader.ping()
        wait_until(lambda: read_expired(monitored) == len(ended))
        yield made + ended + not_yet


def read_expired(broker: Broker) -> int:
    return int(read(monitor_port(broker), "/mailboxz?limit=1")["expired"])


@pytest.mark.parametrize("path", PAGES)
def test_no_page_shows_a_private_address(addresses: list[str], port: int, path: str) -> None:
    for options in OPTIONS:
        text = get(port, path + options)[2].decode()
        assert [address for address in addresses if address in text] == []


def test_no_page_shows_a_private_address_when_queried_by_it(addresses: list[str], port: int) -> None:
    for address in addresses[-3:] + addresses[:3]:
        for path in PAGES:
            for name in ("sort", "limit", "cursor", "cid", "subs", "state", "auth"):
                assert address not in get(port, f"{path}?{name}={address}")[2].decode()
        for test in (f"{MAILBOX}MSG.{address}", f"{MAILBOX}MSG.{address}.urgent", f"{address}..x", address):
            assert address not in get(port, f"/subsz?subs=1&test={test}")[2].decode()


def test_no_further_page_of_mailboxz_shows_a_private_address(addresses: list[str], port: int) -> None:
    cursor, pages = "", 0
    while True:
        text = get(port, f"/mailboxz?limit=7&cursor={cursor}")[2].decode()
        assert [address for address in addresses if address in text] == []
        pages += 1
        if not (found := re.search(r'"next":"(.*?)"', text)):
            break
        cursor = found[1]
    assert pages >= PRIVATE // 7


def test_the_log_shows_no_private_address(addresses: list[str], monitored: Broker) -> None:
    text = monitored.log.read_text()
    assert [address for address in addresses if address in text] == []


def test_masked_addresses_have_at_most_eight_characters(addresses: list[str], port: int) -> None:
    masked_addresses = [box["address"] for box in read(port, "/mailboxz")["mailboxes"] if not box["public"]]
    assert len(masked_addresses) == PRIVATE + 5
    for text in masked_addresses:
        assert text.endswith("\u2026")
        assert len(text) <= 9
    rows = read(port, "/subsz?subs=1&limit=5000")["subscriptions_list"]
    subjects = [row["subject"] for row in rows if row["subject"].startswith(f"{MAILBOX}MSG.")]
    assert {re.sub(r"^.*\u2026", "", subject) for subject in subjects} == {"", ".*", ".urgent"}


def test_a_public_address_is_shown_until_its_mailbox_ends(monitored: Broker, port: int) -> None:
    with Wire(monitored.port, {"name": "public.one"}) as wire:
        wire.create(name="public.one", public=True)
        wire.sub(f"{MAILBOX}MSG.public.one.urgent", queue="public.one")
        wire.ping()
        path = f"/connz?subs=detail&cid={wire.info['client_id']}"
        entry = read(port, path)["connections"][0]
        assert entry["name"] == "public.one"
        detail = entry["subscriptions_list_detail"][0]
        assert (detail["subject"], detail["qgroup"]) == (f"{MAILBOX}MSG.public.one.urgent", "public.one")

        def subject() -> str:
            return str(read(port, path)["connections"][0]["subscriptions_list_detail"][0]["subject"])

        wire.create(name="public.one", public=True, ttl=1)
        wait_until(lambda: subject() == f"{MAILBOX}MSG.pu\u2026.urgent")


@pytest.mark.parametrize(
    ("address", "prefix"), [("a", ""), ("abc", ""), ("abcd", "a"), ("a" * 31, "a" * 7), ("b" * 128, "b" * 8)]
)
def test_a_masked_address_has_a_quarter_of_the_characters_at_most_eight(address: str, prefix: str) -> None:
    assert masked(address) == prefix + "\u2026"
