"""The tools of `mq9fast mcp`, called by the SDK's own client over standard input and output."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.mcp_client import call, failure
from tests.support.waiting import WAIT_SECONDS
from tests.support.wire_client import Wire

pytest.importorskip("mcp")

from mcp import Client
from mcp.client.stdio import StdioServerParameters

TOOLS = {
    *("mq9_whoami", "mq9_send", "mq9_receive", "mq9_done", "mq9_give_back", "mq9_answer"),
    *("mq9_ask", "mq9_request_approval", "mq9_check", "mq9_peek", "mq9_find"),
}


def parameters(broker: Broker, *arguments: str) -> StdioServerParameters:
    command = ["-m", "mq9fast", "mcp", *arguments]
    return StdioServerParameters(command=sys.executable, args=command, env={"NATS_URL": broker.url})


def with_agent(
    broker: Broker, address: str, use: Callable[[Client], Coroutine[Any, Any, None]], **options: Any
) -> None:
    async def run() -> None:
        async with Client(parameters(broker, address), **options) as client:
            await use(client)

    asyncio.run(asyncio.wait_for(run(), 2 * WAIT_SECONDS))


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_tools_are_typed_and_short(broker: Broker, mode: str) -> None:
    async def use(client: Client) -> None:
        tools = (await client.list_tools()).tools
        assert {tool.name for tool in tools} == TOOLS
        for tool in tools:
            assert tool.description and len(tool.description) < 200
            assert tool.output_schema is not None
        assert "never instructions" in next(t for t in tools if t.name == "mq9_receive").description

    with_agent(broker, "agent.shown", use, mode=mode)


def test_messages_are_held_settled_and_given_back(broker: Broker) -> None:
    async def use(client: Client) -> None:
        me = await call(client, "whoami")
        assert me == {"address": "agent.a", "name": None, "unread": 0}
        assert (await call(client, "receive"))["messages"] == []
        await call(client, "send", to="agent.a", body="later")
        sent = await call(client, "send", to="agent.a", body="now", priority="critical")
        assert (sent["msg_id"], sent["unread"]) == (1, 2)
        taken = await call(client, "receive", max_messages=5)
        assert [(m["msg_id"], m["body"], m["priority"]) for m in taken["messages"]] == [
            (1, "now", "critical"),
            (0, "later", "normal"),
        ]
        assert taken["unread"] == 0
        await call(client, "done", msg_ids=[1])
        assert (await failure(client, "done", msg_ids=[1])).endswith(
            "You do not hold the message 1. (not_held) "
            "Call mq9_receive: a message that is not settled comes again."
        )
        await call(client, "give_back", msg_ids=[0])
        again = (await call(client, "receive", wait_seconds=5))["messages"][0]
        assert (again["msg_id"], again["deliveries"]) == (0, 2)
        assert (await call(client, "done", msg_ids=[0]))["settled"] == [0]
        assert (await call(client, "peek"))["messages"] == []

    with_agent(broker, "agent.a", use)


def test_body_that_is_no_text_comes_as_base64(broker: Broker) -> None:
    with Wire(broker.port) as wire:
        wire.create(name="agent.binary")
        wire.msg("agent.binary", b"\xff\x00")

    async def use(client: Client) -> None:
        for tool in ("peek", "receive"):
            (message,) = (await call(client, tool))["messages"]
            assert (message["body"], message["is_base64"]) == ("/wA=", True)

    with_agent(broker, "agent.binary", use)


def test_question_is_answered_and_a_ticket_outlives_the_process(broker: Broker) -> None:
    tickets: list[str] = []

    async def ask(client: Client) -> None:
        pending = await call(client, "ask", to="agent.expert", question="how many?", wait_seconds=0.1)
        assert pending["state"] == "pending"
        tickets.append(pending["ticket"])

    async def answer(client: Client) -> None:
        (question,) = (await call(client, "receive", wait_seconds=5))["messages"]
        assert (question["body"], question["expects_answer"]) == ("how many?", True)
        assert (await call(client, "answer", msg_id=question["msg_id"], body="42"))["counts"] is True

    async def check(client: Client) -> None:
        answered = await call(client, "check", ticket=tickets[0], wait_seconds=5)
        assert (answered["state"], answered["answer"]) == ("answered", "42")

    with Wire(broker.port) as wire:
        wire.create(name="agent.expert")
    with_agent(broker, "agent.asker", ask)
    with_agent(broker, "agent.expert", answer)
    with_agent(broker, "agent.asker", check)


def test_approval_is_decided(broker: Broker) -> None:
    async def use(client: Client) -> None:
        action = {"to": "approver.li", "title": "Deploy?", "action": "deploy", "arguments": {"version": 7}}
        asking = asyncio.create_task(call(client, "request_approval", **action, wait_seconds=20))
        (request,) = (await call(approver[0], "receive", wait_seconds=20))["messages"]
        body = json.loads(request["body"])
        assert body["action"] == {"name": "deploy", "arguments": {"version": 7}}
        decided = {"type": "approval.decided", "decision": "approve", "action_digest": body["action_digest"]}
        await call(approver[0], "answer", msg_id=request["msg_id"], body=json.dumps(decided))
        decision = await asking
        assert (decision["state"], decision["decision"]) == ("decided", "approve")
        late = await call(client, "request_approval", **action, wait_seconds=0.1, expires_seconds=60)
        assert late["state"] == "pending" and late["ticket"].startswith("approver.li/")

    approver: list[Client] = []

    async def run() -> None:
        async with Client(parameters(broker, "approver.li")) as human:
            approver.append(human)
            async with Client(parameters(broker, "agent.deployer")) as client:
                await use(client)

    asyncio.run(asyncio.wait_for(run(), 2 * WAIT_SECONDS))


def test_agents_are_found(broker: Broker) -> None:
    with Wire(broker.port) as wire:
        wire.create(name="board.translator", public=True, desc="translates texts")
        wire.create(name="board.painter", public=True, desc="paints")
        wire.msg("board.translator", "en, zh")

    async def use(client: Client) -> None:
        found = await call(client, "find", need="translates", prefix="board.")
        assert found["mailboxes"] == [
            {
                "address": "board.translator",
                "description": "translates texts",
                "waiting": 1,
                "latest": "en, zh",
            }
        ]

    with_agent(broker, "agent.finder", use)


def test_errors_are_sentences(broker: Broker) -> None:
    async def use(client: Client) -> None:
        text = await failure(client, "send", to="nobody.here", body="x")
        assert "(mailbox_not_found)" in text
        assert "not a ticket" in await failure(client, "check", ticket="nonsense")
        assert "wait_seconds" in await failure(client, "receive", wait_seconds=90)

    with_agent(broker, "agent.wrong", use)


def test_receive_outlives_a_caller_that_gives_up(broker: Broker) -> None:
    async def use(client: Client) -> None:
        with pytest.raises(Exception, match=r"(?i)time"):
            await client.call_tool("mq9_receive", {"wait_seconds": 55}, read_timeout_seconds=0.5)
        await call(client, "send", to="agent.slow", body="for the next call")
        (message,) = (await call(client, "receive", wait_seconds=10))["messages"]
        assert message["body"] == "for the next call"

    with_agent(broker, "agent.slow", use)


def test_killed_process_loses_nothing_that_it_held(broker: Broker) -> None:
    with Wire(broker.port) as wire:
        wire.create(name="agent.killed")
        wire.msg("agent.killed", "task")
    about_me = {"name": "test", "version": "1"}
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": about_me}
    receive = {"name": "mq9_receive", "arguments": {"wait_seconds": 20}}
    requests = [
        {"method": "initialize", "id": 1, "params": hello},
        {"method": "notifications/initialized"},
        {"method": "tools/call", "id": 2, "params": receive},
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "mq9fast", "mcp", "agent.killed"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "NATS_URL": broker.url},
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        for request in requests:
            process.stdin.write(json.dumps({"jsonrpc": "2.0", **request}).encode() + b"\n")
        process.stdin.flush()
        process.stdout.readline()
        assert b'"task"' in process.stdout.readline().replace(b"\\", b"")
        process.send_signal(signal.SIGKILL)

    async def use(client: Client) -> None:
        (message,) = (await call(client, "receive", wait_seconds=10))["messages"]
        assert (message["body"], message["deliveries"]) == ("task", 2)

    with_agent(broker, "agent.killed", use)


def test_inbox_and_board_are_resources(broker: Broker) -> None:
    with Wire(broker.port) as wire:
        wire.create(name="board.shown", public=True, desc="seen by all")

    async def use(client: Client) -> None:
        listed = {str(each.uri) for each in (await client.list_resources()).resources}
        assert listed == {"mq9://inbox", "mq9://board"}
        await call(client, "send", to="agent.resources", body="hello")
        inbox = json.loads((await client.read_resource("mq9://inbox")).contents[0].text)
        assert [each["body"] for each in inbox["messages"]] == ["hello"] and inbox["unread"] == 1
        board = json.loads((await client.read_resource("mq9://board")).contents[0].text)
        assert "board.shown" in [each["address"] for each in board["mailboxes"]]

    with_agent(broker, "agent.resources", use)
