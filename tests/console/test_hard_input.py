"""What others send: many messages, large ones, and texts that want to be more than text."""

import json

import pytest

from tests.console.conftest import Open
from tests.support.approvals import ask, decisions, send
from tests.support.browser import needs_browser, needs_console
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import Wire

pytestmark = [needs_browser, needs_console]
ZHANG = "approver.zhang"
MESSAGES = 10_000
SCRIPTS = (
    "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>",
    '<a href="javascript:window.hacked=1">click</a>{{7*7}}${7*7}',
)


def test_ten_thousand_messages(open_console: Open, agent: Wire) -> None:
    for number in range(MESSAGES):
        agent.pub(f"$mq9.AI.MAILBOX.MSG.{ZHANG}", f"message {number}")
    agent.ping()
    page = open_console("zhang", ZHANG)
    page.sees(f"Waiting ({MESSAGES:,})", ".tabs")
    assert page.count(".card") == 50
    # An urgent one is the first, and is decided while all others wait.
    ask(agent, "Urgent?", "critical")
    page.sees("Urgent?", ".card:first-child")
    page.click("Approve", ".card:first-child")
    wait_until(lambda: [each["decision"] for each in decisions(agent)] == ["approve"], WAIT_SECONDS)
    page.sees("message 0", ".card:first-child")
    page.click(f"Show more ({MESSAGES - 50:,})")
    page.sees_count(".card", 100)


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_stay_text(open_console: Open, agent: Wire, script: str) -> None:
    send(agent, script.encode())
    send(agent, json.dumps({script: script, "__proto__": {"hacked": 1}}).encode())
    ask(agent, script, "critical", action=script, arguments={script: [script]}, choices=[script, "deny"])
    page = open_console("zhang", ZHANG)
    page.sees_count(".card", 3)
    assert script in page.text(".card h2")
    page.run(
        "const closed = page.locator('details.tree:not([open]) > summary');"
        "while (await closed.count()) await closed.first().click()"
    )
    assert page.count(".card script, .card img, .card a[href^=javascript]") == 0
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("({}).hacked") is None
    page.click("Deny", ".card:first-child")
    page.sees_count(".card", 2)
    page.click("Decided (1)")
    page.sees(script, ".decided")
    assert page.evaluate("window.hacked") is None
    assert page.complaints == []


def test_the_direction_of_text_is_not_turned_around(open_console: Open, agent: Wire) -> None:
    override = "pay \u202e05$\u202c to me\u200b"
    ask(agent, override, arguments={"to": override, "arabic": "ادفع"})
    page = open_console("zhang", ZHANG)
    page.sees("pay ⟨202e⟩05$⟨202c⟩ to me⟨200b⟩", ".card h2")
    page.sees("pay ⟨202e⟩05$⟨202c⟩ to me⟨200b⟩", ".card dd")
    page.sees("ادفع", ".card dd")


def test_a_large_text_is_shown_in_part(open_console: Open, agent: Wire) -> None:
    size = (1 << 20) - 100
    send(agent, b"a" * size)
    send(agent, json.dumps({"a": "b" * (size - 100)}).encode())
    page = open_console("zhang", ZHANG)
    page.sees_count(".card", 2)
    assert page.evaluate("document.querySelector('.card pre').textContent.length") == 4000
    page.click(f"Show all {size:,} characters", ".card")
    page.wait_for(f"document.querySelector('.card pre').textContent.length === {size}")
    page.fill("Answer", "too long", ".card:first-child")
    page.press("Enter")
    page.sees_count(".card", 1)


def test_bytes_and_broken_json_are_shown(open_console: Open, agent: Wire) -> None:
    send(agent, b"\xff\xfe\x00 not text")
    send(agent, b'{"type": "approval.requested", "title": "broken')
    send(agent, b"[" * 100_000)
    send(agent, b"")
    # Not as the convention has it: it is shown as what it is.
    send(agent, b'{"type": "approval.requested", "title": 7, "action": {}, "action_digest": null}')
    page = open_console("zhang", ZHANG)
    page.sees_count(".card", 5)
    assert "12 bytes that are not UTF-8:" in page.text(".card:nth-child(1)")
    assert "ff fe 00 20 6e" in page.text(".card:nth-child(1)")
    assert '"title": "broken' in page.text(".card:nth-child(2)")
    assert "It is empty." in page.text(".card:nth-child(4)")
    assert "action_digest" in page.text(".card:nth-child(5)")
    assert page.count("[data-choice=approve]") == 0
    assert page.complaints == []
