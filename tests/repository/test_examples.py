"""Every example works, also on the data that its first run left."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.broker import Broker

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py") if path.name != "mq9.py")
MAX_SECONDS = 120.0
SCENARIOS = 8
# Its clients sign in.
SIGNED_IN = "approval_by_two.py"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that does not wait for fsyncs: one may take longer than the TTL of an example's mailbox."""
    broker = Broker(tmp_path_factory.mktemp("broker") / "data", "--sync", "interval")
    yield broker
    broker.end()


@pytest.fixture(scope="module")
def broker_with_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker with the users that the docstring of an example asks for."""
    directory = tmp_path_factory.mktemp("users")
    found = re.search(r'"""(.*?)"""', (EXAMPLES / SIGNED_IN).read_text(), re.DOTALL)
    assert found
    users = re.findall(r"^    (.*)$", found[1], re.MULTILINE)
    (directory / "users.toml").write_text("\n".join(users))
    broker = Broker(directory / "data", "--sync", "interval", "--config", str(directory / "users.toml"))
    yield broker
    broker.end()


def run(broker: Broker, *arguments: str) -> str:
    ran = subprocess.run(
        [sys.executable, *arguments],
        env={"NATS_URL": broker.url, "PATH": ""},
        capture_output=True,
        text=True,
        timeout=MAX_SECONDS,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert not ran.stderr
    return ran.stdout


def test_every_scenario_has_an_example() -> None:
    assert len(SCRIPTS) >= SCENARIOS


def test_example_with_users_runs_twice(broker_with_users: Broker) -> None:
    for _ in range(2):
        assert run(broker_with_users, str(EXAMPLES / SIGNED_IN))


@pytest.mark.parametrize("script", [script for script in SCRIPTS if script != SIGNED_IN])
def test_example_runs_twice(broker: Broker, script: str) -> None:
    for _ in range(2):
        assert run(broker, str(EXAMPLES / script))


def test_program_of_the_readme_works(broker: Broker) -> None:
    found = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found
    program = found[1].replace("nats://127.0.0.1:4222", broker.url)
    assert run(broker, "-c", program).splitlines() == ["how far are you?"]
