"""The example page examples/browser.html in a real browser, with a real broker."""

import contextlib
import functools
import http.server
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.broker import Broker
from tests.support.browser import Browser, Page, needs_browser
from tests.support.node import MODULES, NODE, SCRIPTS, needs_node
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import Wire

PAGE = Path(__file__).parents[2] / "examples" / "browser.html"
pytestmark = [needs_node, needs_browser]
# What the page shows, from top to bottom.
SHOWN = (
    "[...document.querySelectorAll('#messages li')].map((li) => [...li.children].map((e) => e.textContent))"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a server that has the page and the module, made as the page says."""
    directory = tmp_path_factory.mktemp("site")
    shutil.copy(PAGE, directory)
    made = re.search(r"echo '(.*)' \| npx esbuild (.*) --outfile=nats-core.js\n", PAGE.read_text())
    assert made
    assert NODE is not None
    esbuild = (NODE, MODULES / "esbuild" / "bin" / "esbuild", *made[2].split())
    module = subprocess.run(esbuild, input=made[1].encode(), cwd=SCRIPTS, check=True, capture_output=True)
    (directory / "nats-core.js").write_bytes(module.stdout)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    handler = functools.partial(Quiet, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield server.server_port
        server.shutdown()
        serving.join()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    browser = Browser()
    yield browser
    browser.end()


@pytest.fixture
def web_broker(start_broker: Callable[..., Broker], site: int) -> Broker:
    origin = f"http://127.0.0.1:{site}"
    return start_broker("--ws-port", "0", "--ws-origins", origin, "--token", "secret")


@pytest.fixture
def sender(web_broker: Broker) -> Iterator[Wire]:
    with Wire(web_broker.port, {"auth_token": "secret"}) as wire:
        yield wire


def open_mailbox(page: Page, broker: Broker, token: str = "secret") -> None:
    """Fill in the form and press the button."""
    page.wait_for("document.readyState === 'complete' && document.getElementById('open')?.onsubmit")
    fields = {"broker": f"ws://127.0.0.1:{broker.ws_port}", "token": token, "mailbox": "desk"}
    for name, value in fields.items():
        page.evaluate(f"document.querySelector('[name={name}]').value = {json.dumps(value)}")
    page.evaluate("document.querySelector('#open button').click()")


def state(page: Page) -> str:
    return str(page.evaluate("document.getElementById('state').textContent"))


def shown(page: Page) -> list[tuple[str, str]]:
    """Priority and text of each message, from top to bottom."""
    return [(rank, text) for rank, text, *_ in page.evaluate(SHOWN)]


def test_page_shows_a_mailbox_and_sends_replies(
    chromium: Browser, site: int, web_broker: Broker, sender: Wire
) -> None:
    sender.create(name="desk")
    sender.create(name="agent")
    asks = json.dumps({"content": "may I? <b>", "reply_to": "agent", "correlation_id": "c-1"})
    sender.msg("desk", "a newsletter")
    sender.msg("desk.critical", asks)
    with contextlib.closing(chromium.page(f"http://127.0.0.1:{site}/browser.html")) as page:
        open_mailbox(page, web_broker)
        page.wait_for("document.querySelectorAll('#messages li').length === 2")
        assert state(page) == "open: desk"
        # Urgent messages are on top, stored and live ones.
        assert shown(page) == [("critical", asks), ("normal", "a newsletter")]
        assert sender.msg("desk.urgent", "live \N{SNOWMAN}") == {"msg_id": 2}
        page.wait_for("document.querySelectorAll('#messages li').length === 3")
        assert [text for _, text in shown(page)] == [asks, "live \N{SNOWMAN}", "a newsletter"]
        # The user types an answer and clicks. The agent's mailbox receives it, and the question is deleted.
        page.evaluate("document.querySelector('#messages input').value = 'you may'")
        page.evaluate("document.querySelector('#messages button').click()")
        wait_until(lambda: sender.list("desk")["total"] == 2, WAIT_SECONDS)
        (answer,) = sender.list("agent")["messages"]
        assert json.loads(answer["payload"]) == {"answer": "you may", "correlation_id": "c-1"}
        assert [message["msg_id"] for message in sender.list("desk")["messages"]] == [2, 0]
        page.wait_for("document.querySelectorAll('#messages li').length === 2")
        assert [rank for rank, _ in shown(page)] == ["urgent", "normal"]


def test_page_of_another_origin_or_without_the_token_is_refused(
    chromium: Browser, site: int, web_broker: Broker, sender: Wire
) -> None:
    sender.create(name="desk")
    sender.msg("desk", "secret")
    # The same page from the same server, but another origin for the browser.
    with contextlib.closing(chromium.page(f"http://localhost:{site}/browser.html")) as page:
        open_mailbox(page, web_broker)
        wait_until(lambda: "refused: 403" in web_broker.log.read_text(), WAIT_SECONDS)
        wait_until(lambda: state(page).startswith("failed"), WAIT_SECONDS)
        assert shown(page) == []
    with contextlib.closing(chromium.page(f"http://127.0.0.1:{site}/browser.html")) as page:
        open_mailbox(page, web_broker, token="Secret")
        wait_until(lambda: state(page).startswith("failed"), WAIT_SECONDS)
        assert "uthorization" in state(page)
        assert shown(page) == []


def test_page_reconnects_after_a_kill(chromium: Browser, site: int, web_broker: Broker, sender: Wire) -> None:
    sender.create(name="desk")
    sender.msg("desk", "before")
    with contextlib.closing(chromium.page(f"http://127.0.0.1:{site}/browser.html")) as page:
        open_mailbox(page, web_broker)
        page.wait_for("document.querySelectorAll('#messages li').length === 1")
        port, ws_port = web_broker.port, web_broker.ws_port
        web_broker.kill()
        web_broker.flags = ("--port", str(port), *web_broker.flags[2:], "--ws-port", str(ws_port))
        web_broker.start()
        with Wire(port, {"auth_token": "secret"}) as again:
            assert again.msg("desk.critical", "after") == {"msg_id": 1}
            page.wait_for("document.querySelector('#messages b')?.textContent === 'critical'")
            # A message that arrives again is shown once.
            assert shown(page) == [("critical", "after"), ("normal", "before")]
            page.evaluate("document.querySelector('#messages button').click()")
            wait_until(lambda: again.list("desk")["total"] == 1, WAIT_SECONDS)
            assert again.list("desk")["messages"][0]["payload"] == "before"
