"""The pages beside the inbox: mailboxes, agents, the broker."""

import base64
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.console.conftest import sign_in
from tests.support.broker import Broker
from tests.support.browser import Browser, Page, needs_browser, needs_console
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import Wire

pytestmark = [needs_browser, needs_console]
Visit = Callable[[str], Page]


@pytest.fixture
def open_broker(tmp_path: Path) -> Iterator[Broker]:
    """Nobody signs in."""
    broker = Broker(tmp_path / "data", "--ws-port", "0", "--monitor-port", "0")
    yield broker
    broker.end()


@pytest.fixture
def wire(open_broker: Broker) -> Iterator[Wire]:
    with Wire(open_broker.port) as wire:
        yield wire


@pytest.fixture
def visit(browser: Browser, open_broker: Broker) -> Iterator[Visit]:
    pages: list[Page] = []

    def begin(route: str) -> Page:
        pages.append(browser.page(f"http://127.0.0.1:{open_broker.ws_port}/#/{route}"))
        return pages[-1]

    yield begin
    for page in pages:
        assert page.complaints == []
        page.close()


def msg(wire: Wire, address: str, body: bytes, **headers: str) -> int:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return int(wire.msg(address, body, f"NATS/1.0\r\n{lines}\r\n".encode() if lines else b"")["msg_id"])


def test_the_board_shows_public_mailboxes_and_those_that_are_named(visit: Visit, wire: Wire) -> None:
    wire.create(name="task.queue", public=True, desc="work for all", ttl=3600, max_in_flight=2)
    wire.create(name="private.box")
    for body in (b"one", b"two"):
        msg(wire, "task.queue", body)
    wire.subscribe("task.queue", queue="workers")
    wire.messages(2)
    page = visit("mailboxes")
    page.sees("work for all", "td")
    cells = page.run("return page.locator('tbody tr:first-child td').allInnerTexts()")
    assert [cells[1], *cells[3:]] == ["2", "2", "1", "1 hour"]
    assert page.count("tbody tr") == 1
    # An event shows a change without a click.
    wire.delete("task.queue", 0)
    page.wait_for("document.querySelector('tbody td.number').textContent === '1'")
    page.fill("Public mailboxes that begin with", "none")
    page.sees("There is none that you may see.")
    page.fill("Address", "private.box")
    page.click("Open")
    page.sees("private.box", "h1")
    page.sees("0 messages", "h2")


def test_a_mailbox_is_browsed_and_its_messages_sent_and_discarded(visit: Visit, wire: Wire) -> None:
    wire.create(name="box")
    body = {"task": "t-1", "nested": {"list": [1, 2.50, None]}}
    msg(wire, "box.urgent", json.dumps(body).encode(), Kind="first", Mq9_Reply_To="box")
    msg(wire, "box", b"\xff\x00binary")
    page = visit("mailboxes/box")
    page.sees("2 messages", "h2")
    first = page.text("article:first-of-type")
    assert "urgent" in first and "t-1" in first and "unsigned" in first
    assert re.search(r"Kind\s+first", first)
    page.run("await page.getByText('1 fields').first().click()")
    page.run("await page.getByText('3 items').first().click()")
    page.sees("2.5", "article:first-of-type code")
    assert "ff 00 62" in page.text("article:nth-of-type(2)")
    page.run("await page.getByText('Send a message').click()")
    page.fill("Body", "from the page")
    page.fill("Headers, one a line, such as Mq9-Reply-To: agent.a", "Kind: third")
    page.run("await page.getByLabel('Priority').selectOption('critical')")
    page.click("Send")
    page.sees("Sent as message 2.")
    page.sees("from the page", "article:first-of-type")
    sent = wire.list("box", msg_id=2)["messages"][0]
    assert (sent["priority"], sent["headers"]) == ("critical", {"Kind": "third"})
    page.click("Discard", "article:first-of-type")
    assert wire.list("box")["total"] == 3
    page.click("Discard it for ever", "article:first-of-type")
    page.sees("2 messages", "h2")
    assert [each["msg_id"] for each in wire.list("box")["messages"]] == [0, 1]


def test_a_dead_letter_is_sent_again(visit: Visit, wire: Wire) -> None:
    wire.create(name="work", dead_letter="dead", max_deliver=1)
    msg(wire, "work.urgent", b"hard", Kind="x", Nats_Msg_Id="once")
    wire.subscribe("work", queue="workers", sid="7")
    wire.pub(wire.message().reply, b"+TERM too hard")
    wire.send("UNSUB 7\r\n")
    wait_until(lambda: wire.list("dead").get("total") == 1, WAIT_SECONDS)
    page = visit("mailboxes/dead")
    page.sees("too hard", "article")
    page.click("Send again to work", "article")
    page.sees("0 messages", "h2")
    (again,) = wire.list("work")["messages"]
    assert (again["payload"], again["priority"]) == ("hard", "urgent")
    assert again["headers"] == {"Kind": "x", "Nats-Msg-Id": "replay dead/0"}


@pytest.mark.parametrize("body", [b'it\'s "quoted" $HOME\nand `more`', b"\xff\x00\xfe"])
def test_a_message_is_copied_as_a_command_and_as_a_program(
    visit: Visit, wire: Wire, open_broker: Broker, body: bytes
) -> None:
    """The program runs, and a shell reads the command as it is meant."""
    wire.create(name="box")
    msg(wire, "box.urgent", body, Kind="a 'b'")
    page = visit("mailboxes/box")
    page.click("Copy as …")
    *_, program = page.run("return page.locator('section pre').allTextContents()")
    port = open_broker.port
    ran = subprocess.run(
        [sys.executable, "-c", program.replace(":4222", f":{port}")],
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
    )
    assert json.loads(ran.stdout) == {"msg_id": 1}, ran.stderr
    copied = wire.list("box", msg_id=1)["messages"][0]
    found = copied["payload"].encode() if "payload" in copied else base64.b64decode(copied["payload_base64"])
    assert (found, copied["headers"], copied["priority"]) == (body, {"Kind": "a 'b'"}, "urgent")
    if body.startswith(b"it"):
        command = shlex.split(page.text("section pre"))
        subject, text = "$mq9.AI.MAILBOX.MSG.box.urgent", body.decode()
        assert command == ["nats", "request", "-H", "Kind:a 'b'", subject, text]
    else:
        assert "The body is not text." in page.text("section")


def test_agents_are_there_or_gone_as_events_tell(visit: Visit, wire: Wire) -> None:
    wire.create(name="agent.translator", public=True, desc="translates")
    wire.create(name="agent.brief", public=True, ttl=3)
    msg(wire, "agent.translator", b'{"load": 0.4}')
    page = visit("agents")
    page.sees("there", "[aria-label='agent.brief'] .state")
    page.sees("gone: its mailbox expired", "[aria-label='agent.brief'] .state")
    page.sees("there", "[aria-label='agent.translator'] .state")
    page.run("await page.getByText('Its newest message').click()")
    page.sees("0.4", "[aria-label='agent.translator'] code")
    page.fill("Public mailboxes that begin with", "worker.")
    page.sees("No agent has a public mailbox that begins so.")


def test_the_broker_shows_rates_limits_and_connections(visit: Visit, wire: Wire) -> None:
    wire.create(name="box")
    msg(wire, "box", b"1234")
    page = visit("broker")
    page.sees("a second", "dd")
    shown = page.text("main")
    assert re.search(r"Fsync\s+\d+\.\d\d ms each", shown)
    assert re.search(r"State\s+healthy\s+Mailboxes\s+1\s+Messages\s+1\s+Size\s+4 bytes", shown)
    assert re.search(r"Connections\s+\d+ of at most \d", shown)
    assert "console" in page.text("table")


@pytest.mark.parametrize("is_system", [False, True])
def test_without_a_monitoring_port_the_page_shows_what_the_user_may_ask(
    browser: Browser, tmp_path: Path, is_system: bool
) -> None:
    config = tmp_path / "mq9.toml"
    user = f'[[users]]\nuser = "ann"\npassword = "ann-password"\nsystem = {str(is_system).lower()}'
    config.write_text(user)
    broker = Broker(tmp_path / "data", "--ws-port", "0", "--config", str(config))
    page = browser.page(f"http://127.0.0.1:{broker.ws_port}/#/broker")
    sign_in(page, "ann")
    page.sees("More is on the monitoring port of the broker, which cannot be read from here")
    shown = page.text("main")
    assert re.search(r"Round trip\s+[\d.]+ ms", shown)
    assert re.search(r"console .*ann", shown, re.DOTALL)
    assert ("Messages in" in shown) is is_system
    page.close()
    broker.end()
