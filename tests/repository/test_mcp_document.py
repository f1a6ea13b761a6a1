"""docs/mcp.md: its configurations work, and its table has every tool."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path

import pytest

from tests.support.broker import Broker
from tests.support.mcp_client import call
from tests.support.waiting import WAIT_SECONDS

pytest.importorskip("mcp")

from mcp import Client
from mcp.client.stdio import StdioServerParameters

from mq9fast.mcp.callers import read_agents
from mq9fast.mcp.server import RESOURCES

PAGE = (Path(__file__).parents[2] / "docs" / "mcp.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def test_configuration_of_a_client_works(broker: Broker) -> None:
    (entry,) = json.loads(block("json"))["mcpServers"].values()
    assert entry["command"] == "mq9fast" and set(entry["env"]) == {"NATS_URL", "NATS_USER", "NATS_PASSWORD"}
    # This broker asks for no credentials, and takes any.
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "mq9fast", *entry["args"]],
        env={**os.environ, **entry["env"], "NATS_URL": broker.url},
    )

    async def use() -> None:
        async with Client(parameters) as client:
            tools = {tool.name for tool in (await client.list_tools()).tools}
            assert tools == set(re.findall(r"`(mq9_\w+)`", PAGE))
            assert (await call(client, "whoami"))["address"] == entry["args"][1]

    asyncio.run(asyncio.wait_for(use(), WAIT_SECONDS))


def test_file_of_agents_is_valid(tmp_path: Path) -> None:
    file = tmp_path / "agents.toml"
    file.write_text(block("toml"))
    assert [agent.address for agent in read_agents(file)] == ["agent.writer", "agent.reader"]


def test_resources_are_named() -> None:
    assert set(re.findall(r"`(mq9://\w+)`", PAGE)) == set(RESOURCES)
