"""Every snippet of the page about the client runs, one after the other, beside a broker."""

import ast
import asyncio
import inspect
import re
from pathlib import Path
from typing import Any

import msgspec

import mq9fast
from mq9fast import client
from mq9fast.client.approval import ApprovalRequest, Decided
from tests.support.broker import Broker
from tests.support.client import connect
from tests.support.waiting import WAIT_SECONDS

PAGE = Path(__file__).parents[2] / "docs/client.md"
SNIPPETS = 9


def snippets() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


async def run(code: str, names: dict[str, Any]) -> None:
    compiled = compile(code, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(compiled, names)
    if inspect.iscoroutine(result):
        await asyncio.wait_for(result, WAIT_SECONDS)


def test_snippets_run(broker: Broker) -> None:
    async def run_all() -> None:
        async with connect(broker.url) as mq9:
            names: dict[str, Any] = {"mq9": mq9}
            for snippet in snippets():
                await run(snippet.replace("nats://127.0.0.1:4222", broker.url), names)
                names["mq9"] = mq9

    assert len(snippets()) >= SNIPPETS
    asyncio.run(run_all())


def test_bodies_of_approvals_are_read() -> None:
    prose = "\n".join(re.findall(r"^    ( *[{\"].*)$", PAGE.read_text(), re.MULTILINE))
    request, decided = re.findall(r"^\{.*(?:\n .*)*", prose.replace("…", "0"), re.MULTILINE)
    assert msgspec.json.decode(request, type=ApprovalRequest).action.name == "deploy"
    assert msgspec.json.decode(decided, type=Decided).decision == "deny"


def test_table_of_errors_has_every_error() -> None:
    kinds = {
        name for name, kind in vars(client).items() if inspect.isclass(kind) and issubclass(kind, Exception)
    }
    table = PAGE.read_text().partition("## Errors")[2].partition("## ")[0]
    signals = {"Mq9Error", "Reject", "GiveBack"}
    assert kinds - signals == set(re.findall(r"`(\w+)`", table)) - signals - {"code", "hint"}


def test_calls_of_the_table_exist() -> None:
    for name in re.findall(r"mq9\.(\w+)\(", PAGE.read_text()):
        assert hasattr(client.Mq9, name), name
    for name in re.findall(r"message\.(\w+)\(", PAGE.read_text()):
        assert hasattr(client.Message, name), name
    assert mq9fast.connect is client.connect
