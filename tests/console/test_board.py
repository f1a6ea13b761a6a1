"""Public mailboxes that are many, and agents that come and go."""

from collections.abc import Callable, Iterator

import pytest

from tests.support.broker import Broker
from tests.support.browser import Browser, Page, needs_browser, needs_console
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import Wire

pytestmark = [needs_browser, needs_console]
# A page of the board is not longer than a payload may be.
PAYLOAD_BYTES = 4096
# How many rows the page shows at first.
ROWS = 50
# Holds back what the page sends from its first subscription to an event on, until `release()`.
HOLD_SUBSCRIPTIONS = """
    const send = WebSocket.prototype.send;
    const held = [];
    let isReleased = false;
    WebSocket.prototype.send = function (data) {
        if (!isReleased && (held.length > 0 || new TextDecoder().decode(data).includes("MAILBOX.EVENT."))) {
            held.push([this, data]);
        } else send.call(this, data);
    };
    window.held = held;
    window.release = () => {
        isReleased = true;
        for (const [socket, data] of held) send.call(socket, data);
    };
"""


@pytest.fixture
def open_broker(start_broker: Callable[..., Broker]) -> Broker:
    """Nobody signs in."""
    return start_broker("--ws-port", "0", "--max-payload", str(PAYLOAD_BYTES))


@pytest.fixture
def wire(open_broker: Broker) -> Iterator[Wire]:
    with Wire(open_broker.port) as wire:
        yield wire


@pytest.fixture
def page(browser: Browser, open_broker: Broker) -> Iterator[Page]:
    page = browser.page(f"http://127.0.0.1:{open_broker.ws_port}/")
    page.sees("Waiting (0)")
    yield page
    assert page.complaints == []
    page.close()


def test_the_board_reads_on_until_it_has_all_rows(page: Page, wire: Wire) -> None:
    for number in range(ROWS + 10):
        wire.create(name=f"box.{number:02}", public=True, desc=f"{number} " * 100)
    first = wire.request("$mq9.AI.MAILBOX.LIST", {"limit": ROWS}).json
    assert len(first["mailboxes"]) < ROWS and "next" in first
    page.evaluate("location.hash = '#/mailboxes'")
    page.sees_count("tbody tr", ROWS)
    assert page.text("tbody tr:last-child a") == f"box.{ROWS - 1:02}"
    page.click("Show more")
    page.sees_count("tbody tr", ROWS + 10)
    assert page.run("return page.getByRole('button', { name: 'Show more' }).count()") == 0


def test_an_agent_that_left_before_the_page_asked_for_its_events_is_gone(page: Page, wire: Wire) -> None:
    page.evaluate("location.hash = '#/agents'")
    page.sees("No agent has a public mailbox that begins so.")
    page.evaluate(f"(() => {{ {HOLD_SUBSCRIPTIONS} }})()")
    wire.create(name="agent.brief", public=True)
    page.click("Look again")
    page.sees("…", "[aria-label='agent.brief'] .state")
    page.wait_for("held.length > 0")
    wire.create(name="agent.brief", public=True, ttl=1)
    wait_until(lambda: wire.list("agent.brief").get("code") == "mailbox_not_found", WAIT_SECONDS)
    page.evaluate("release()")
    page.wait_for("document.querySelector(\"[aria-label='agent.brief'] .state\").textContent === 'gone'")


def test_an_agent_that_reads_no_mail_is_shown_and_comes_back(page: Page, wire: Wire) -> None:
    wire.create(name="agent.busy", public=True)
    page.evaluate("location.hash = '#/agents'")
    page.sees("there", "[aria-label='agent.busy'] .state")
    wire.msg("agent.busy", b"hello")
    page.sees("has mail that nobody reads", "[aria-label='agent.busy'] .state")
    wire.create(name="agent.busy", public=True, ttl=1)
    page.sees("gone: its mailbox expired", "[aria-label='agent.busy'] .state")
    wire.create(name="agent.busy", public=True)
    page.sees("there", "[aria-label='agent.busy'] .state")
