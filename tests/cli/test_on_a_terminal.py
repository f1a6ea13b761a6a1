"""The commands that talk to a broker, on a terminal: tables, questions, and progress."""

import pytest

from mq9fast.client import Mq9
from tests.support.broker import Broker
from tests.support.client import with_client
from tests.support.command import on_terminal
from tests.support.wire_client import Wire


@pytest.fixture
def env(broker: Broker) -> dict[str, str]:
    return {"NATS_URL": broker.url}


def test_inbox_asks_for_a_decision(broker: Broker, address: str, env: dict[str, str]) -> None:
    tickets: list[str] = []

    async def ask(mq9: Mq9) -> None:
        await mq9.create(address)
        ticket = await mq9.send_approval_request(address, "Deploy?", "act", {"on": "production"}, risk="high")
        tickets.append(str(ticket))

    async def read(mq9: Mq9) -> None:
        decision = await mq9.decision(tickets[0])
        assert (decision.decision, decision.reason) == ("deny", "not today")

    with_client(broker.url, ask)
    # The second one is skipped, which Enter means.
    status, shown = on_terminal(
        "inbox", address, answers={"quit] [skip]": "deny", "Reason": "not today"}, **env
    )
    assert status == 0 and "Deploy?" in shown and "on: production" in shown and "risk: high" in shown
    assert "0: deny" in shown
    with_client(broker.url, read)


def test_tables(wire: Wire, address: str, env: dict[str, str]) -> None:
    wire.create(name=address, public=True)
    wire.msg(address, "hello \x1b[2J")
    for command in (("list", address), ("stats", address), ("top", address, "-n", "1")):
        status, shown = on_terminal(*command, **env, NO_COLOR="1")
        assert status == 0 and "\x1b[2J" not in shown.replace("\x1b[2J\x1b[H", "")
        assert "payload" in shown or address in shown


def test_delete_all_asks_first(wire: Wire, address: str, env: dict[str, str]) -> None:
    wire.create(name=address)
    wire.msg(address, "x")
    status, shown = on_terminal("delete", address, "--all", answers={"[y/N]": "n"}, **env)
    assert status == 130 and f"Delete 1 messages of {address}?" in shown
    assert wire.list(address)["total"] == 1
    status, shown = on_terminal("delete", address, "--all", answers={"[y/N]": "y"}, **env)
    assert status == 0 and "messages deleted" in shown
    assert wire.list(address)["total"] == 0
