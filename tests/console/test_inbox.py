"""The inbox: requests arrive, are read, and are decided once."""

import json
import shutil
import time

from tests.console.conftest import Open, sign_in
from tests.support.approvals import AGENT, ask, decisions, send
from tests.support.broker import Broker
from tests.support.browser import Browser, needs_browser, needs_console
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import Wire

pytestmark = [needs_browser, needs_console]
ZHANG = "approver.zhang"


def test_sign_in_and_out(open_console: Open, agent: Wire, browser: Browser, web_broker: Broker) -> None:
    ask(agent, "Deploy?")
    page = browser.page(f"http://127.0.0.1:{web_broker.ws_port}/")
    sign_in(page, "zhang", "wrong")
    page.sees("The broker refused the name or the password.", "[role=alert]")
    sign_in(page, "zhang")
    page.sees("zhang", "header")
    page.fill("Mailbox", ZHANG)
    page.click("Add")
    page.sees("Deploy?", ".card")
    page.click("Sign out")
    page.sees("Password", "form")
    assert page.count(".card") == 0
    # The password is kept nowhere: a reload asks for it again, and then shows the mailboxes that were chosen.
    page.run("await page.reload()")
    sign_in(page, "zhang")
    page.sees("Deploy?", ".card")
    page.close()


def test_what_arrives_before_and_while_the_page_is_open(open_console: Open, agent: Wire) -> None:
    ask(agent, "Sent before", "normal", arguments={"amount": 5.0, "to": {"name": "Ada"}})
    page = open_console("zhang", ZHANG)
    page.sees("Sent before", ".card")
    ask(agent, "Sent now", "critical", risk={"level": "high", "reasons": ["money"]}, expires=3600)
    page.sees("Sent now", ".card")
    # The most urgent one is the first.
    assert [page.text(f".card:nth-child({at}) h2") for at in (1, 2)] == ["Sent now", "Sent before"]
    first = page.text(".card")
    assert "agent asks, proved by sign-in" in first and "high" in first and "Expires in" in first
    # Numbers are shown as they were written.
    assert page.text(".card:nth-child(2) .fields").split() == ["amount", "5.0", "to", "1", "fields"]
    page.wait_for("document.title === '(2) mq9fast'")
    assert page.complaints == []


def test_approve_deny_edit_and_answer(open_console: Open, agent: Wire) -> None:
    page = open_console("zhang", ZHANG)
    choices = ["approve", "deny", "edit", "answer"]
    for title in ("One", "Two", "Three", "Four"):
        # The digest is over the names in order, however the agent writes them.
        arguments = {"version": "1.7", "to": {"z": 1, "é": 2, "a": 3}}
        ask(agent, title, choices=choices, correlation_id=title, arguments=arguments)
    page.sees_count(".card", 4)
    page.click("Approve", ".card")
    page.sees_count(".card", 3)
    page.fill("Reason", "not on a Friday", ".card")
    page.click("Deny", ".card")
    page.sees_count(".card", 2)
    page.click("Edit …", ".card")
    page.fill("Arguments", '{"version": 1.70}', ".card")
    page.click("Approve with these arguments", ".card")
    page.sees_count(".card", 1)
    page.click("Answer", ".card")
    page.sees("Write the answer first.", ".card [role=alert]")
    page.fill("Reason", "ask Li", ".card")
    page.click("Answer", ".card")
    page.sees_count(".card", 0)
    found = decisions(agent)
    assert [(each["decision"], each.get("reason"), each["by"]) for each in found] == [
        ("approve", None, "zhang"),
        ("deny", "not on a Friday", "zhang"),
        ("edit", None, "zhang"),
        ("answer", "ask Li", "zhang"),
    ]
    assert [each["correlation_id"] for each in found] == ["One", "Two", "Three", "Four"]
    assert '"edited_arguments":{"version": 1.70}' in agent.list("agent.a")["messages"][2]["payload"]
    assert all(each["action_digest"].startswith("sha256:") for each in found)
    page.click("Decided (4)")
    row = page.text(".decided li:nth-child(3)")
    assert "deny" in row and "Two" in row and "not on a Friday" in row and "by zhang (you)" in row
    assert page.complaints == []


def test_a_request_with_the_digest_of_another_action_cannot_be_approved(
    open_console: Open, agent: Wire
) -> None:
    forged = {
        "type": "approval.requested",
        "title": "Buy a pencil",
        "action": {"name": "buy", "arguments": {"what": "a pencil"}},
        "action_digest": "sha256:" + "0" * 64,
    }
    send(agent, json.dumps(forged).encode())
    page = open_console("zhang", ZHANG)
    page.sees("The digest of this request is not that of the action above.", ".card")
    assert page.run("return page.getByRole('button', { name: 'Approve', exact: true }).isDisabled()")
    page.click("Deny")
    page.sees_count(".card", 0)
    assert decisions(agent)[0]["decision"] == "deny"


def test_two_approvers_and_the_other_reads_who_was_first(open_console: Open, agent: Wire) -> None:
    ask(agent, "Deploy?")
    zhang, li = open_console("zhang", ZHANG), open_console("li", ZHANG)
    zhang.sees("Deploy?", ".card")
    li.sees("Deploy?", ".card")
    # Li's page learns nothing of the decision before Li decides, too.
    li.evaluate(
        """setTimeout(() => {
            for (const end = Date.now() + 1500; Date.now() < end; );
            document.querySelector("[data-choice=deny]").click();
        })"""
    )
    zhang.click("Approve")
    zhang.sees_count(".card", 0)
    li.sees("Deploy?: zhang was first", ".notice")
    assert [(each["decision"], each["by"]) for each in decisions(agent)] == [("approve", "zhang")]
    li.click("Decided (1)")
    li.sees("by zhang", ".decided li")
    # A message that another settles while a page only shows it goes, and the page says who it was.
    ask(agent, "Again?")
    zhang.sees("Again?", ".card")
    zhang.click("Deny")
    li.sees("Again?", ".decided li")
    li.sees("by zhang", ".decided li:first-child")


def test_any_message_can_be_answered_or_discarded(open_console: Open, agent: Wire) -> None:
    send(agent, b'{"from": "agent", "type": "approval_request", "content": "cost $50"}')
    send(agent, b"just text", "normal", reply_to=None)
    page = open_console("zhang", ZHANG)
    page.sees("cost $50", ".card")
    for order in ("+ACK", "-NAK", "+WPI", "+TERM", "+NXT"):
        page.fill("Answer", f"{order} no", ".card")
        page.sees("An answer cannot begin with this word.", ".card")
        page.fill("Answer", f"no {order}", ".card")
        page.sees_count(".card [role=alert]", 0)
    page.fill("Answer", "yes", ".card")
    page.press("Enter")
    page.sees_count(".card", 1)
    assert page.count(".card input") == 0
    page.click("Discard")
    page.sees("Nothing waits for you.")
    assert [message["payload"] for message in agent.list("agent.a")["messages"]] == ["yes"]
    assert agent.list(ZHANG)["total"] == 0


def test_the_broker_is_killed_with_a_card_open(open_console: Open, agent: Wire, web_broker: Broker) -> None:
    ask(agent, "Deploy?")
    ask(agent, "Decided elsewhere?")
    page = open_console("zhang", ZHANG)
    page.sees_count(".card", 2)
    web_broker.kill()
    page.sees("The connection is lost.", ".notice")
    # What is decided meanwhile is sent when the broker is back.
    page.click("Approve", ".card")
    page.sees("Sending your decision", ".card")
    web_broker.flags = (*web_broker.flags, "--ws-port", "-1")
    web_broker.start()
    with Wire(web_broker.port, AGENT) as back:
        assert back.delete(ZHANG, 1) == {"deleted": True}
    web_broker.kill()
    web_broker.flags = web_broker.flags[:-2]
    web_broker.start()
    page.sees_count(".card", 0)
    with Wire(web_broker.port, AGENT) as back:
        wait_until(lambda: len(decisions(back)) == 1, WAIT_SECONDS)
        ask(back, "After")
        page.sees("After", ".card")
        assert page.count(".card") == 1
        assert [(each["decision"], each["by"]) for each in decisions(back)] == [("approve", "zhang")]


def test_a_card_outlives_a_killed_broker(open_console: Open, agent: Wire, web_broker: Broker) -> None:
    ask(agent, "Deploy?")
    page = open_console("zhang", ZHANG)
    page.sees("Deploy?", ".card")
    web_broker.restart(kill=True)
    with Wire(web_broker.port, AGENT) as back:
        ask(back, "Another?", "normal")
        page.sees("Another?", ".card")
        assert [page.text(f".card:nth-child({at}) h2") for at in (1, 2)] == ["Deploy?", "Another?"]
        page.click("Approve", ".card")
        page.sees_count(".card", 1)
        assert [(each["decision"], each["by"]) for each in decisions(back)] == [("approve", "zhang")]


def test_a_broker_killed_while_it_decides_decides_once(
    open_console: Open, agent: Wire, web_broker: Broker
) -> None:
    """The page sends the decision again, and knows its own decision if the first one counted."""
    delays = (0.0, 0.005, 0.02, 0.1)
    for number in range(len(delays)):
        ask(agent, f"Question {number}?")
    page = open_console("zhang", ZHANG)
    page.sees_count(".card", len(delays))
    for number, delay in enumerate(delays):
        page.evaluate("document.querySelector('[data-choice=approve]').click()")
        time.sleep(delay)
        web_broker.restart(kill=True)
        page.sees_count(".card", len(delays) - number - 1)
    page.click(f"Decided ({len(delays)})")
    shown = page.run("return page.locator('.decided li').allInnerTexts()")
    assert all("approve" in each and "by zhang (you)" in each for each in shown), shown
    with Wire(web_broker.port, AGENT) as back:
        keys = [message["key"] for message in back.list("agent.a")["messages"]]
        assert keys == [f"{ZHANG}/{number}" for number in range(len(delays))]


def test_another_message_with_the_same_number_is_shown(
    open_console: Open, agent: Wire, web_broker: Broker
) -> None:
    """The broker comes back with an empty store: what is decided must be what the page shows."""
    ask(agent, "Old")
    page = open_console("zhang", ZHANG)
    page.sees("Old", ".card")
    web_broker.kill()
    shutil.rmtree(web_broker.data_dir)
    web_broker.start()
    with Wire(web_broker.port, AGENT) as back:
        back.create(name=ZHANG)
        back.create(name="agent.a")
        assert ask(back, "New") == 0
        page.sees("New", ".card")
        page.sees_count(".card", 1)
        page.click("Deny")
        wait_until(lambda: len(decisions(back)) == 1, WAIT_SECONDS)


def test_who_decides_is_kept_in_a_mailbox(open_console: Open, agent: Wire) -> None:
    page = open_console("agent", ZHANG)
    page.click("Decided (0)")
    page.click(f"Keep it in {ZHANG}.decided")
    page.sees(f"The mailbox {ZHANG}.decided tells", ".notice")
    with_answer = ask(agent, "Deploy?")
    agent.delete(ZHANG, with_answer, json.dumps({"type": "approval.decided", "decision": "deny"}).encode())
    page.sees("deny", ".decided li")
    # Another page reads it later.
    later = open_console("agent", ZHANG)
    later.click("Decided (1)")
    later.sees("deny", ".decided li")
    later.sees("by agent (you)", ".decided li")
