"""The eight scenarios of the project's specification, unchanged, with an unmodified nats-py."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.broker import Broker

PORT = 4222
SCENARIOS = Path(
    os.environ.get("MQ9FAST_SEED_SCENARIOS")
    or Path(__file__).resolve().parents[3] / "shared" / "seed_scenarios.py"
)
ID = r"[a-z0-9][a-z0-9._-]*"
# The lines that each scenario prints: patterns of whole lines, and how often each occurs.
EXPECTED = {
    "1: Async Task Result Return": {
        rf"\[Orchestrator\] mailbox: {ID}": 1,
        r'\[Orchestrator\] received result: \{"task_id": "t-001", "result": '
        r'"analysis complete, anomaly rate 2\.3%"\}': 1,
    },
    "2: Global Status Awareness": {
        r"\[Orchestrator\] status update: \$mq9\.AI\.MAILBOX\.MSG\.status\.worker001 -> "
        r'\{"status": "running", "load": 0\.3, "capabilities": \["data\.analysis"\]\}': 1,
        r"\[Orchestrator\] status update: \$mq9\.AI\.MAILBOX\.MSG\.status\.worker002 -> "
        r'\{"status": "idle", "load": 0\.0, "capabilities": \["text\.generation"\]\}': 1,
    },
    "3: Task Fan-out and Competing Consumers": {
        rf'\[Worker-[123]\] claimed task: \{{"task_id": "t-00{n}", "type": "data_analysis"\}}': 1
        for n in (1, 2, 3)
    },
    "4: Anomaly Alert Broadcast": {
        rf'\[Handler-{name}\] \{{"level": "critical", "detail": "payment timeout rate spiked to 15%"\}}': 1
        for name in "AB"
    },
    "5: Edge Offline Message Backlog": {
        r"\[Edge\] mailbox: edge\.[a-z0-9._-]+": 1,
        r"\[Cloud\] commands sent, waiting for edge to come online\.\.\.": 1,
        r'\[Edge\] received command: \{"command": "emergency_stop"\}': 1,
        r'\[Edge\] received command: \{"command": "update_config", "interval": 30\}': 1,
        r'\[Edge\] received command: \{"command": "report_status"\}': 1,
        r'\[Edge\] LIST safety net: \{.*"total":3,.*emergency_stop.*update_config.*report_status.*\}': 1,
    },
    "6: Human-in-the-Loop Workflow": {
        r"\[Approver\] received request: requesting external API call, estimated cost \$50": 1,
        r"\[Agent\] received approval result: approved=True": 1,
    },
    "7: Async Request-Reply": {
        r"\[Agent-B\] received question: what is the current progress\?": 1,
        r'\[Agent-A\] received reply: \{"answer": "current progress is 72%", '
        r'"correlation_id": "req-001"\}': 1,
    },
    "8: Capability Registration and Discovery": {
        r"\[Orchestrator\] querying: who has data\.analysis capability\?": 1,
        r"\[Worker-001\] responding to capability query": 1,
        r'\[Orchestrator\] found capable agent: \{"from": "capability\.worker001", '
        r'"capabilities": \["data\.analysis", "report\.generation"\], "load": 0\.3\}': 1,
    },
}


def run_scenarios() -> dict[str, list[str]]:
    """The lines that each scenario printed."""
    done = subprocess.run([sys.executable, SCENARIOS], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    _, *parts = re.split(r"=== Scenario (\d: .*) ===\n", done.stdout)
    return {title: text.split("\n") for title, text in zip(parts[::2], parts[1::2], strict=True)}


def check(printed: dict[str, list[str]], earlier_runs: int) -> None:
    """Check that every expected line occurs as often as expected.

    Messages that earlier runs left in public mailboxes are replayed again.
    """
    assert printed.keys() == EXPECTED.keys()
    for title, expected in EXPECTED.items():
        for pattern, times in expected.items():
            found = sum(1 for line in printed[title] if re.fullmatch(pattern, line))
            assert times <= found <= times * (earlier_runs + 1), (title, pattern, found, printed[title])
    edge = [line for line in printed["5: Edge Offline Message Backlog"] if "received command" in line]
    assert ["emergency_stop" in edge[0], "update_config" in edge[1], "report_status" in edge[2]] == [True] * 3


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    if not SCENARIOS.is_file():
        pytest.skip(f"{SCENARIOS} is not here; tests/repository/test_examples.py covers the same scenarios")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            pytest.skip(f"the scenarios need port {PORT}, and it is taken")
    broker = Broker(tmp_path / "data", "--port", str(PORT))
    assert broker.port == PORT
    yield broker
    broker.end()


def test_scenarios_run_repeatedly_with_unmodified_clients(broker: Broker) -> None:
    check(run_scenarios(), 0)
    check(run_scenarios(), 1)
    broker.restart(kill=True)
    check(run_scenarios(), 2)
