"""The commands that talk to a broker: what they do, what they print, and how they fail."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mq9fast.client import Mq9
from tests.support.broker import Broker
from tests.support.client import with_client
from tests.support.command import MQ9FAST, error, run
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import Wire


def done(*arguments: str, stdin: str | bytes = "", **env: str) -> str:
    result = run(*arguments, stdin=stdin, **env)
    assert result.returncode == 0, result.stderr
    return result.stdout


def rows(*arguments: str, stdin: str | bytes = "", **env: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done(*arguments, "--json", stdin=stdin, **env).splitlines()]


@pytest.fixture
def env(broker: Broker) -> dict[str, str]:
    return {"NATS_URL": broker.url}


def test_create_sets_and_changes_options(wire: Wire, address: str, env: dict[str, str]) -> None:
    options = ("--ttl", "1h30m", "--max-deliver", "3", "--backoff", "500ms", "--backoff", "2s", "--desc", "x")
    assert done("create", address, *options, "--dead-letter", f"{address}.dead", **env) == f"{address}\n"
    mailbox = wire.list(address)["mailbox"]
    assert (mailbox["ttl"], mailbox["desc"], mailbox["public"]) == (5400, "x", False)
    assert mailbox["options"]["backoff"] == [0.5, 2] and mailbox["options"]["max_deliver"] == 3
    (row,) = rows("create", address, "--dead-letter", "", "--max-deliver", "0", **env)
    assert row == {"mail_address": address, "is_new": False, "options": {"backoff": [0.5, 2]}}
    (generated,) = rows("create", "--prefix", "cli", **env)
    assert generated["mail_address"].startswith("cli.")


def test_send_list_and_delete(wire: Wire, address: str, env: dict[str, str]) -> None:
    wire.create(name=address)
    assert done("send", address, "first", **env) == "0\n"
    header = ("-H", "Tag: a: b", "--key", "k", "--id", "7", "--ttl", "1h")
    assert rows("send", address, "-", "-p", "urgent", *header, stdin="second\n", **env) == [{"msg_id": 1}]
    assert rows("send", address, "again", "--id", "7", **env) == [{"msg_id": 1, "duplicate": True}]
    assert "deliver_at" in rows("send", address, "later", "--delay", "2099-01-01T00:00:00Z", **env)[0]
    assert done("send", address, "--lines", stdin="a\nb\n", **env) == "3\n4\n"
    listed = rows("list", address, **env)
    assert [each.get("payload") for each in listed] == ["second\n", "first", "a", "b", "later"]
    assert listed[0]["headers"]["Tag"] == "a: b" and listed[0]["key"] == "k"
    newest = rows("list", address, "--newest", "-n", "2", "--meta", **env)
    assert [(each["msg_id"], "payload" in each) for each in newest] == [(4, False), (3, False)]
    lines = done("list", address, "-n", "1", **env).splitlines()
    assert lines[0].split("\t")[:2] == ["1", "urgent"] and len(lines) == 1
    assert done("delete", address, "0", "1", **env) == "0\ttrue\n1\ttrue\n"
    result = run("delete", address, "0", "4", **env)
    assert (result.returncode, result.stdout) == (1, "0\tfalse\n4\ttrue\n")
    assert result.stderr == f"mq9fast: the mailbox {address} has no message 0 (message_not_found)\n"
    done("delete", address, "--all", **env)
    assert rows("list", address, **env) == []


def test_list_and_stats_of_public_mailboxes(wire: Wire, address: str, env: dict[str, str]) -> None:
    wire.create(name=address, public=True, desc="translates German", max_messages=5)
    wire.msg(address, "x")
    (row,) = rows("list", "--prefix", address, "--need", "german", **env)
    assert (row["mail_address"], row["total"]) == (address, 1)
    (stats,) = rows("stats", address, **env)
    assert (stats["total"], stats["options"]) == (1, {"max_messages": 5})
    assert address in done("stats", **env)
    (top,) = rows("top", address, "--count", "1", **env)
    assert (top["messages"], top["mail_address"]) == (1, address)


def test_top_reads_the_monitoring_port(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "data", "--monitor-port", "0", monitor=True)
    with Wire(broker.port) as wire:
        wire.create(name="shown", public=True)
        wire.msg("shown", "x")
    url = broker.monitor_url
    top = rows("top", "--monitor", url, "--count", "2", "--interval", "10ms", NATS_URL=broker.url)
    assert [(each["mail_address"], each["messages"]) for each in top] == [("shown", 1)] * 2
    text = error("top", "--monitor", "http://127.0.0.1:1", "-n", "1", status=3, NATS_URL=broker.url)
    assert "the monitoring port cannot be read" in text and "hint: " in text
    broker.end()


def test_ask_and_ticket(broker: Broker, address: str, env: dict[str, str]) -> None:
    done("create", address, **env)
    (sent,) = rows("ask", address, "how far?", "--no-wait", **env)
    late = run("ask", address, "and now?", "--wait", "100ms", **env)
    assert late.returncode == 4 and "(no_answer_yet)" in late.stderr and f"{address}/1@" in late.stderr
    done("watch", address, "--exec", "cat; printf ' done by %s' $MQ9_MSG_ID", "--count", "2", **env)
    assert done("ask", "--ticket", sent["ticket"], **env) == "how far? done by 0\n"
    assert error("ask", "--ticket", "no-ticket", status=2, **env).startswith(
        "mq9fast: 'no-ticket' is not a ticket"
    )


def test_worker_of_any_program(address: str, env: dict[str, str], tmp_path: Path) -> None:
    done("create", address, "--receipts-to", f"{address}.log", **env)
    done("create", f"{address}.log", **env)
    done("send", address, "task", **env)
    # It fails the first time.
    program = f"test -e {tmp_path}/tried || {{ touch {tmp_path}/tried; echo no >&2; exit 7; }}; cat >&2"
    watch = (
        "watch",
        address,
        "-g",
        "w",
        "--exec",
        program,
        "--retry-after",
        "10ms",
        "--count",
        "2",
        "--json",
    )
    result = run(*watch, **env)
    first, second = map(json.loads, result.stdout.splitlines())
    assert (first["status"], first["deleted"]) == (7, False)
    assert (second["status"], second["deleted"], second["deliveries"]) == (0, True, 2)
    assert "message 0 is given back: exit status 7. no" in result.stderr
    assert rows("list", address, **env) == []


def test_watch_prints_and_keeps_or_shares_and_deletes(wire: Wire, address: str, env: dict[str, str]) -> None:
    wire.create(name=address)
    for body in ("one", "two"):
        wire.msg(address, body)
    assert done("watch", address, "--count", "2", **env) == "0\tnormal\tone\n1\tnormal\ttwo\n"
    assert [each["payload"] for each in rows("watch", address, "-g", "w", "-n", "1", **env)] == ["one"]
    assert wire.list(address)["total"] == 1


def test_interrupted_worker_gives_back_and_ends_its_program(
    wire: Wire, address: str, env: dict[str, str], tmp_path: Path
) -> None:
    wire.create(name=address)
    wire.msg(address, "long")
    started = tmp_path / "started"
    command = [*MQ9FAST, "watch", address, "--exec", f"echo $$ > {started}; exec sleep 600"]
    process = subprocess.Popen(command, env={**os.environ, **env}, stderr=subprocess.PIPE)
    wait_until(lambda: started.exists() and started.read_text().strip())
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=WAIT_SECONDS)
    assert (process.returncode, errors) == (0, b"")
    assert not Path(f"/proc/{started.read_text().strip()}").exists()
    (message,) = wire.list(address)["messages"]
    assert message["deliveries"] == 1


def test_inbox_decides(broker: Broker, address: str, env: dict[str, str]) -> None:
    tickets: list[str] = []

    async def ask(mq9: Mq9) -> None:
        await mq9.create(address)
        await mq9.send(address, "no request")
        for version in ("1", "2\x1b[2J"):
            ticket = await mq9.send_approval_request(address, "Deploy?", "deploy", {"version": version})
            tickets.append(str(ticket))

    async def read(mq9: Mq9) -> None:
        decision = await mq9.decision(tickets[1])
        assert (decision.decision, decision.reason) == ("deny", "too late")
        waiting = asyncio.create_task(mq9.decision(tickets[0]))
        assert (await waiting).decision == "approve"

    with_client(broker.url, ask)
    shown = done("inbox", address, **env)
    assert shown.count("Deploy?") == 2 and "version: 1" in shown and "\x1b" not in shown
    assert [each["action"]["name"] for each in rows("inbox", address, **env)] == ["deploy", "deploy"]
    decided = done("inbox", address, "--decide", "deny", "--id", "2", "--reason", "too late", **env)
    assert decided == "2: deny\n"
    assert rows("inbox", address, "--decide", "approve", **env) == [
        {"msg_id": 1, "decision": "approve", "counts": True}
    ]
    with_client(broker.url, read)


def test_first_mistakes_are_sentences_with_hints(
    start_broker: Callable[..., Broker], address: str, env: dict[str, str]
) -> None:
    assert error("send", "nobody.here", "x", status=1, **env) == (
        "mq9fast: there is no mailbox with this address (mailbox_not_found)\n"
        "hint: create it first, with mq9fast create or mq9.mailbox(), "
        "or start the broker with --auto-create\n"
    )
    no_broker = error("send", address, "x", "--server", "nats://127.0.0.1:1", status=3)
    assert (
        no_broker.startswith("mq9fast: there is no broker at nats://127.0.0.1:1: ")
        and "mq9fast dev" in no_broker
    )
    broker = start_broker("--user", "anna", "--password", "right")
    wrong = error(
        "create", address, "--user", "anna", "--password", "wrong-one", status=1, NATS_URL=broker.url
    )
    assert "refuses the sign-in (sign_in_failed)" in wrong and "wrong-one" not in wrong and "hint: " in wrong
    right = {"NATS_URL": broker.url, "NATS_USER": "anna", "NATS_PASSWORD": "right"}
    assert done("create", address, **right) == f"{address}\n"
    for arguments, sentence in (
        (("create", address, "--ttl", "soon"), "is not a duration such as 90s"),
        (("create", address, "--ttl", "1.5s"), "is not a whole number of seconds"),
        (("send", address, "x", "-H", "Tag"), "is not a header such as"),
        (("send", address, "x", "--delay", "2099-99T"), "is not a time such as"),
        (("send", address, "x", "-p", "high"), "high"),
        (("delete", address), "give the numbers of messages, or --all"),
        (("inbox", address, "--decide", "approve"), "there is no such request"),
        (("create", address, "--context", "missing"), "context 'missing' cannot be read"),
    ):
        assert sentence in error(*arguments, status=2, **right)
