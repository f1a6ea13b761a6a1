"""The runbook names every warning and error of the log, every refusal to start, every fault and every alert,
and its snippets run."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.broker import Broker
from tests.support.command import shell_environment
from tests.support.waiting import START_SECONDS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/runbook.md").read_text()
RUNBOOK = re.sub(r"[^a-z0-9]+", " ", TEXT.lower())
LEVELS = {"warning", "error", "critical", "exception"}
# Other programs than the broker raise StartError too; docs/cluster.md is about cluster/.
LEFT_OUT = ("cluster", "mcp", "cli", "client")
# Shorter pieces between what is filled in say nothing.
MIN_WORDS = 3
# What a library says follows, or a wrapper's own words.
UNSPECIFIC = {"this broker runs inside another program which set its settings"}


def pieces(node: ast.expr) -> list[str]:
    """The fixed text of a string, an f-string or a concatenation of these."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.split(r"%[sdr]", node.value)
    if isinstance(node, ast.JoinedStr):
        return [part for value in node.values for part in pieces(value)]
    return []


def sentences() -> Iterator[tuple[str, list[str]]]:
    """(file, fixed pieces) of each sentence of a warning, an error, a fault or a refusal to start."""
    for file in sorted((ROOT / "mq9fast").rglob("*.py")):
        if file.relative_to(ROOT / "mq9fast").parts[0] in LEFT_OUT:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = ast.unparse(node.func)
            if name == "StartError" or name in {f"log.{level}" for level in LEVELS}:
                argument = node.args[0]
            elif name.endswith("health.report"):
                argument = node.args[1]
            else:
                continue
            words = [re.sub(r"[^a-z0-9]+", " ", piece.lower()).strip() for piece in pieces(argument)]
            texts = [text for text in words if len(text.split()) >= MIN_WORDS and text not in UNSPECIFIC]
            if texts:
                yield file.name, texts


def test_every_sentence_of_the_broker_is_in_the_runbook() -> None:
    found = list(sentences())
    assert len(found) > 50
    missing = [(file, texts) for file, texts in found if not any(map(named, texts))]
    assert not missing


def named(text: str) -> bool:
    """Whether the runbook has a run of words of the sentence that is long enough to find it."""
    words = text.split()
    length = min(len(words), 5)
    return any(" ".join(words[at : at + length]) in RUNBOOK for at in range(len(words) - length + 1))


def test_sentence_that_is_missing_is_found() -> None:
    assert not named("the broker has seen something that nobody has thought of")


def test_every_step_of_housekeeping_is_named() -> None:
    source = (ROOT / "mq9fast/server/housekeeping.py").read_text()
    steps = re.findall(r'Step\("([^"]+)"', source)
    assert len(steps) > 10
    assert [step for step in steps if step not in TEXT] == []


def test_every_alert_is_named() -> None:
    alerts = re.findall(r"alert: (\w+)", (ROOT / "deploy/prometheus/alerts.yml").read_text())
    assert alerts and [alert for alert in alerts if alert not in TEXT] == []


@pytest.mark.parametrize("snippet", re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
def test_snippet_runs(broker: Broker, tmp_path: Path, snippet: str) -> None:
    environment = {**shell_environment(broker.url, tmp_path), "DATA_DIR": str(broker.data_dir)}
    done = subprocess.run(
        ["sh", "-ec", snippet],
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        env=environment,
        cwd=tmp_path,
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
