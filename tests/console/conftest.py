"""A broker with two approvers and an agent, and a browser that shows its console."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.approvals import AGENT, USERS
from tests.support.broker import Broker
from tests.support.browser import Browser, Page
from tests.support.wire_client import Wire

Open = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    browser = Browser()
    yield browser
    browser.end()


@pytest.fixture
def web_broker(tmp_path: Path) -> Iterator[Broker]:
    """Its client port stays the same when it is started again, and so does its WebSocket port."""
    config = tmp_path / "mq9.toml"
    config.write_text(USERS)
    broker = Broker(tmp_path / "data", "--ws-port", "0", "--config", str(config))
    broker.flags = ("--port", str(broker.port), *broker.flags[2:], "--ws-port", str(broker.ws_port))
    yield broker
    broker.end()


@pytest.fixture
def agent(web_broker: Broker) -> Iterator[Wire]:
    """The agent, with its mailbox `agent.a`, and the mailbox of the approvers."""
    with Wire(web_broker.port, AGENT) as wire:
        wire.create(name="agent.a")
        wire.create(name="approver.zhang", public=True)
        yield wire


@pytest.fixture
def open_console(browser: Browser, web_broker: Broker) -> Iterator[Open]:
    """Open the console and sign in: open_console("zhang"). In the end no page complained of anything."""
    with contextlib.ExitStack() as opened:

        def begin(user: str, *mailboxes: str, **options: Any) -> Page:
            page = browser.page(f"http://127.0.0.1:{web_broker.ws_port}/", **options)
            opened.callback(page.close)
            sign_in(page, user)
            for mailbox in mailboxes:
                page.fill("Mailbox", mailbox)
                page.click("Add")
            return page

        yield begin


def sign_in(page: Page, user: str, password: str | None = None) -> None:
    page.fill("User", user)
    page.fill("Password", f"{user}-password" if password is None else password)
    page.click("Sign in")
