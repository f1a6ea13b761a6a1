"""What the page keeps of a sign-in: nothing, or for this tab if the user asks for it."""

from pathlib import Path

import pytest

from tests.console.conftest import sign_in
from tests.support.approvals import USERS
from tests.support.broker import Broker
from tests.support.browser import Browser, Page, needs_browser, needs_console

pytestmark = [needs_browser, needs_console]
PASSWORD = "zhang-password"


@pytest.fixture
def page(browser: Browser, web_broker: Broker) -> Page:
    return browser.page(url_of(web_broker))


def url_of(broker: Broker) -> str:
    return f"http://127.0.0.1:{broker.ws_port}/"


def kept(page: Page) -> str:
    """All that the page keeps in the browser."""
    return str(page.evaluate("JSON.stringify([{ ...sessionStorage }, { ...localStorage }, document.cookie])"))


def stay_signed_in(page: Page) -> None:
    page.run("await page.getByRole('checkbox').check()")
    sign_in(page, "zhang")
    page.sees("Waiting (0)")
    assert PASSWORD in kept(page)


def test_a_password_is_kept_nowhere_unless_the_user_asks(page: Page) -> None:
    sign_in(page, "zhang")
    page.sees("Waiting (0)")
    assert PASSWORD not in kept(page)
    page.run("await page.reload()")
    page.sees("Password", "form")
    page.close()


def test_a_sign_in_that_is_kept_outlives_a_reload_but_no_sign_out(page: Page) -> None:
    stay_signed_in(page)
    page.run("await page.reload()")
    page.sees("Waiting (0)")
    page.click("Sign out")
    page.sees("Password", "form")
    assert PASSWORD not in kept(page)
    page.close()


def test_a_kept_password_that_is_wrong_now_is_forgotten(
    page: Page, web_broker: Broker, tmp_path: Path
) -> None:
    stay_signed_in(page)
    page.run("await page.goto('about:blank')")
    (tmp_path / "mq9.toml").write_text(USERS.replace(PASSWORD, "another-password"))
    web_broker.restart()
    page.run("await page.goto(values.url)", url=url_of(web_broker))
    page.sees("The broker refused the name or the password.", "[role=alert]")
    assert PASSWORD not in kept(page)
    page.close()
