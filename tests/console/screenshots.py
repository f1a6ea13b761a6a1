"""Makes the pictures of docs/console.md: `make screenshots`."""

import json
import tempfile
from pathlib import Path
from typing import Any

from tests.console.conftest import sign_in
from tests.support.approvals import AGENT, USERS, ask, send
from tests.support.broker import Broker
from tests.support.browser import Browser, Page
from tests.support.wire_client import Wire

DOCS = Path(__file__).parents[2] / "docs"
WIDE = {"viewport": {"width": 960, "height": 640}}
PHONE = {"viewport": {"width": 390, "height": 700}, "colorScheme": "dark"}
ZHANG = "approver.zhang"


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory, "mq9.toml")
        config.write_text(USERS)
        flags = ("--ws-port", "0", "--monitor-port", "0", "--config", str(config))
        broker = Broker(Path(directory, "data"), *flags)
        browser = Browser()
        try:
            with Wire(broker.port, AGENT) as agent:
                fill(agent)
                take_wide(open_page(browser, broker, **WIDE), agent)
                phone = open_page(browser, broker, **PHONE)
                phone.sees("Transfer", ".card")
                shoot(phone, "phone")
        finally:
            browser.end()
            broker.end()


def fill(agent: Wire) -> None:
    """Mailboxes, agents, and what they ask."""
    agent.create(name="agent.a", public=True, desc="plans releases", ttl=86400)
    agent.create(name="agent.translator", public=True, desc="translates German", ttl=600)
    agent.create(name=ZHANG, public=True, desc="decides")
    agent.create(name="task.queue", public=True, desc="work for all", dead_letter="task.dead")
    for number in range(3):
        agent.msg("task.queue", json.dumps({"task": f"t-{number}", "type": "analysis", "rows": 1200}))
    agent.msg("agent.translator", b'{"load": 0.4, "languages": ["de", "en"]}')
    ask(
        agent,
        "Transfer $5,000 to the supplier?",
        "critical",
        action="transfer",
        arguments={"to": "ACME Ltd", "amount": 5000, "currency": "USD"},
        risk={"level": "high", "reasons": ["money leaves the company"]},
        choices=["approve", "deny", "edit", "answer"],
        expires=1800,
    )
    ask(agent, "Deploy 1.7 to production?", arguments={"version": "1.7", "hosts": ["a", "b"]})
    send(agent, b'{"content": "Which of the two drafts shall I send?", "drafts": 2}', "normal")


def open_page(browser: Browser, broker: Broker, **options: Any) -> Page:
    page = browser.page(f"http://127.0.0.1:{broker.ws_port}/", **options)
    sign_in(page, "agent")
    page.fill("Mailbox", ZHANG)
    page.click("Add")
    return page


def take_wide(page: Page, agent: Wire) -> None:
    page.sees_count(".card", 3)
    shoot(page, "inbox")
    first = ask(agent, "Delete the old backups?", "critical")
    decided = {"type": "approval.decided", "decision": "deny", "reason": "keep them for a year"}
    agent.delete(ZHANG, first, json.dumps(decided).encode())
    page.sees("Decided (1)", ".tabs")
    page.fill("Reason", "on Monday", ".card:nth-child(2)")
    page.click("Approve", ".card:nth-child(2)")
    page.click("Decided (2)")
    page.sees("on Monday", ".decided")
    shoot(page, "decided")
    page.click("Mailboxes")
    page.sees("work for all", "td")
    shoot(page, "mailboxes")
    page.click("task.queue")
    page.sees("3 messages", "h2")
    shoot(page, "mailbox")
    page.click("Agents")
    page.sees("there", "[aria-label='agent.translator'] .state")
    page.run("await page.getByText('Its newest message').last().click()")
    shoot(page, "agents")
    page.click("Broker")
    page.sees("a second", "dd")
    shoot(page, "broker")


def shoot(page: Page, name: str) -> None:
    page.run("await page.evaluate(() => scrollTo(0, 0)); await page.waitForTimeout(300)")
    page.run("await page.screenshot({ path: values.path })", path=str(DOCS / f"console-{name}.png"))


if __name__ == "__main__":
    main()
