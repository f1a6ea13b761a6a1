"""The example at the end of each command's help does what it says: it runs here, beside a broker."""

import signal
import subprocess
from pathlib import Path

import pytest

from mq9fast.cli.commands import COMMANDS, Command
from tests.support.broker import Broker
from tests.support.command import shell_environment
from tests.support.waiting import WAIT_SECONDS
from tests.support.wire_client import Wire

every_command = pytest.mark.parametrize("row", COMMANDS.values(), ids=lambda row: row.name)


@pytest.fixture(scope="module")
def environment(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of an example: `mq9fast` is this one, NATS_URL names the broker, and DATA_DIR its data
    directory."""
    with Wire(broker.port) as wire:
        wire.create(name="task.queue")
    programs = tmp_path_factory.mktemp("programs")
    return {**shell_environment(broker.url, programs), "DATA_DIR": str(broker.data_dir)}


@every_command
def test_example_runs(row: Command, environment: dict[str, str], tmp_path: Path) -> None:
    process = subprocess.Popen(
        ["sh", "-ec", ("exec " if row.until_interrupted else "") + row.example],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    first = ""
    if row.until_interrupted:
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 0, errors
    assert first + out
    assert "Traceback" not in errors
