"""The console by keyboard, on a phone, in the dark, over TLS, and as axe judges it."""

from collections.abc import Callable

from tests.console.conftest import Open
from tests.support.approvals import ask, decisions, send
from tests.support.broker import Broker
from tests.support.browser import Browser, Page, needs_browser, needs_console
from tests.support.certificates import Certificates
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import Wire

pytestmark = [needs_browser, needs_console]
ZHANG = "approver.zhang"
PHONE = {"viewport": {"width": 390, "height": 844}, "hasTouch": True}
ROUTES = ("inbox", "inbox/decided", "mailboxes", f"mailboxes/{ZHANG}", "agents", "broker")


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.textContent || document.activeElement.name"))


def test_keyboard_alone(open_console: Open, agent: Wire, browser: Browser, web_broker: Broker) -> None:
    for title in ("One", "Two", "Three"):
        ask(agent, title)
    page = browser.page(f"http://127.0.0.1:{web_broker.ws_port}/")
    page.sees("Password", "form")
    page.press("Tab")
    page.run("await page.keyboard.type('zhang')")
    page.press("Tab")
    page.run("await page.keyboard.type('zhang-password')")
    page.press("Enter")
    page.sees("Waiting (0)")
    page.run(
        "while (!(await page.evaluate(() => document.activeElement.matches('.chosen input'))))"
        "await page.keyboard.press('Tab')"
    )
    page.run("await page.keyboard.type('approver.zhang')")
    page.press("Enter")
    page.sees_count(".card", 3)
    page.run("await page.evaluate(() => document.activeElement.blur())")
    page.press("j", "j", "d", "Enter")
    page.sees_count(".card", 2)
    # The focus is on the card in its place.
    page.wait_for(
        "document.activeElement.matches('.card') && document.activeElement.textContent.includes('Three')"
    )
    page.press("k", "a")
    assert focused(page) == "Approve"
    page.press("Enter")
    page.sees_count(".card", 1)
    assert [each["decision"] for each in decisions(agent)] == ["deny", "approve"]
    page.press("?")
    page.sees("next, previous card", ".keys")
    page.press("Escape", "b")
    page.sees("Broker", "h1")
    page.press("i")
    page.sees("Three", ".card")
    # Letters that are typed are no commands.
    page.fill("Reason", "", ".card")
    page.run("await page.keyboard.type('bad idea')")
    page.sees("Three", ".card")
    page.close()


def test_nothing_keeps_people_out(open_console: Open, agent: Wire) -> None:
    ask(agent, "Deploy?", choices=["approve", "deny", "edit", "answer"], expires=600, risk={"level": "high"})
    send(agent, b'{"text": "hello", "list": [1, 2]}')
    send(agent, b"x" * 5000, "critical")
    for scheme in ("light", "dark"):
        page = open_console("agent", ZHANG, colorScheme=scheme)
        page.sees_count(".card", 3)
        page.click("Edit …")
        for route in ROUTES:
            page.evaluate(f"location.hash = '#/{route}'")
            page.sees("", "h1")
            page.run("await page.waitForTimeout(100)")
            assert page.violations() == [], (scheme, route)


def test_the_sign_in_keeps_nobody_out(browser: Browser, web_broker: Broker) -> None:
    page = browser.page(f"http://127.0.0.1:{web_broker.ws_port}/")
    page.sees("Password", "form")
    assert page.violations() == []
    page.close()


def test_a_phone_shows_everything_without_scrolling_sideways(open_console: Open, agent: Wire) -> None:
    ask(agent, "W" * 200, arguments={"w" * 100: "w" * 500, "number": 10**40})
    send(agent, b"w" * 1000)
    page = open_console("agent", ZHANG, **PHONE)
    page.sees_count(".card", 2)
    for route in ROUTES:
        page.evaluate(f"location.hash = '#/{route}'")
        page.run("await page.waitForTimeout(100)")
        assert page.evaluate("document.documentElement.scrollWidth") == 390, route
    page.evaluate("location.hash = '#/inbox'")
    page.run("await page.getByRole('button', { name: 'Approve', exact: true }).tap()")
    wait_until(lambda: len(decisions(agent)) == 1, WAIT_SECONDS)


def test_dark_and_light(open_console: Open, agent: Wire) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    assert open_console("zhang", colorScheme="dark").evaluate(ground) == "rgb(20, 23, 28)"
    assert open_console("zhang", colorScheme="light").evaluate(ground) == "rgb(246, 247, 249)"


def test_over_tls(browser: Browser, start_broker: Callable[..., Broker], certificates: Certificates) -> None:
    files = ("--tls-cert", certificates.cert_path("server"), "--tls-key", certificates.key_path("server"))
    broker = start_broker("--ws-port", "0", "--token", "secret", *files)
    page = browser.page(f"https://localhost:{broker.ws_port}/", ignoreHTTPSErrors=True)
    page.run("await page.getByText('Sign in with a token instead').click()")
    page.fill("Token", "secret")
    page.click("Sign in")
    page.sees("Waiting (0)")
    assert page.complaints == []
    page.close()
