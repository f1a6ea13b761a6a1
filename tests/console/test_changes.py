"""Cards while the inbox is open: their messages expire, are replaced, or are far down a long list."""

from tests.console.conftest import Open
from tests.support.approvals import AGENT, ask, send
from tests.support.broker import Broker
from tests.support.browser import needs_browser, needs_console
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import Wire

pytestmark = [needs_browser, needs_console]
ZHANG = "approver.zhang"


def test_cards_of_a_mailbox_that_expires_go(open_console: Open, agent: Wire) -> None:
    ask(agent, "Deploy?")
    page = open_console("zhang", ZHANG)
    page.sees("Deploy?", ".card")
    agent.create(name=ZHANG, public=True, ttl=1)
    page.sees_count(".card", 0)
    agent.create(name=ZHANG, public=True, ttl=3600)
    ask(agent, "Anew?")
    page.sees("Anew?", ".card")


def test_a_message_that_is_dropped_for_a_newer_one_goes(open_console: Open, agent: Wire) -> None:
    agent.create(name=ZHANG, public=True, max_messages=1, discard="old")
    ask(agent, "Old")
    page = open_console("zhang", ZHANG)
    page.sees("Old", ".card")
    ask(agent, "New")
    page.sees("New", ".card")
    page.sees_count(".card", 1)


def test_after_a_reconnect_cards_on_later_pages_of_the_list_stay(
    open_console: Open, agent: Wire, web_broker: Broker
) -> None:
    for number in range(60):
        send(agent, b"message %d" % number, "normal")
    page = open_console("zhang", ZHANG)
    page.sees("Waiting (60)", ".tabs")
    web_broker.kill()
    # A page of LIST is never longer than the largest message.
    serving = (*web_broker.flags, "--max-payload", "2000")
    web_broker.flags = (*serving, "--ws-port", "-1")
    web_broker.start()
    with Wire(web_broker.port, AGENT) as back:
        assert "next" in back.list(ZHANG, meta_only=True)
        assert back.delete(ZHANG, 59) == {"deleted": True}
    web_broker.kill()
    web_broker.flags = serving
    web_broker.start()
    # The page forgets the deleted message when it has read the whole list.
    page.sees("Waiting (59)", ".tabs")
    with Wire(web_broker.port, AGENT) as back:
        ask(back, "After")
        page.sees("After", ".card")
    assert "Waiting (60)" in page.text(".tabs")


def test_a_mailbox_that_is_left_takes_its_cards_along(open_console: Open, agent: Wire) -> None:
    agent.create(name="other.box", public=True)
    ask(agent, "Deploy?")
    page = open_console("agent", ZHANG, "other.box")
    page.sees("Deploy?", ".card")
    page.click(f"Leave {ZHANG}")
    page.sees_count(".card", 0)
    assert agent.list(ZHANG)["total"] == 1
    ask(agent, "Unseen")
    agent.msg("other.box", b"seen")
    page.sees("seen", ".card")
    assert page.count(".card") == 1


def test_a_decision_that_nobody_reads_is_told(open_console: Open, agent: Wire) -> None:
    agent.create(name="agent.gone", public=True, ttl=1)
    send(agent, b"still there?", reply_to="agent.gone")
    wait_until(lambda: agent.list("agent.gone").get("code") == "mailbox_not_found", WAIT_SECONDS)
    page = open_console("zhang", ZHANG)
    page.fill("Answer", "yes", ".card")
    page.press("Enter")
    page.sees("nobody reads the answer, because its mailbox is gone", ".notice")
