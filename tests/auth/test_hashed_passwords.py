"""Hashed passwords: many at a time, and clients that close before their password is checked."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import bcrypt
import pytest

from mq9fast.auth import passwords
from mq9fast.auth.passwords import MIN_TO_PRUNE, Passwords
from tests.support.broker import Broker
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import Wire

# A check takes about a quarter of a second.
COST = 12


@pytest.fixture
def broker(start_broker: Callable[..., Broker], tmp_path: Path) -> Broker:
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(COST)).decode()
    config = tmp_path / "mq9.toml"
    config.write_text(f'[[users]]\nuser = "anna"\npassword = "{hashed}"\n')
    return start_broker("--config", str(config), "--monitor-port", "0")


def connect_anna(broker: Broker, password: str) -> Wire:
    return Wire(broker.port, {"user": "anna", "pass": password})


@pytest.fixture
def max_seconds(broker: Broker) -> Iterator[float]:
    """Processor time of 33 checks, which the broker must not exceed by the end of the test."""
    began = time.process_time()
    bcrypt.checkpw(b"wrong", bcrypt.hashpw(b"right", bcrypt.gensalt(COST)))
    # One check to make the hash, one to compare.
    most = (time.process_time() - began) / 2 * 100 / 3
    yield most
    assert broker.cpu_seconds < most


def test_100_clients_with_one_password_are_admitted_with_few_checks(
    broker: Broker, max_seconds: float
) -> None:
    with ExitStack() as stack:
        for wire in [stack.enter_context(connect_anna(broker, "right")) for _ in range(100)]:
            wire.ping()


def test_passwords_of_closed_clients_are_not_checked(broker: Broker, max_seconds: float) -> None:
    for number in range(100):
        with connect_anna(broker, f"wrong{number}"):
            pass
    with connect_anna(broker, "right") as wire:
        wire.ping()
    wait_until(lambda: broker.metric("mq9fast_connections") == 0)


def test_checks_of_closed_clients_are_pruned() -> None:
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()

    async def run() -> list[bool]:
        checked = Passwords()
        verdicts: list[bool] = []
        for number in range(20 * MIN_TO_PRUNE):
            checked.check(hashed, f"wrong{number % 500}", verdicts.append, lambda: False)
            assert checked._waiters == sum(len(waiters) for _, waiters in checked._checks.values())
            assert checked._waiters <= MIN_TO_PRUNE
        done = asyncio.Event()
        checked.check(hashed, "right", lambda right: (verdicts.append(right), done.set()), lambda: True)
        await asyncio.wait_for(done.wait(), WAIT_SECONDS)
        checked.close()
        return verdicts

    assert asyncio.run(run()) == [True]


def test_close_cancels_the_check_in_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the broker would read from a client that it is closing."""
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
    monkeypatch.setattr(passwords, "_is_hash_of", lambda expected, given: True)

    async def run() -> list[bool]:
        checked = Passwords()
        verdicts: list[bool] = []
        checked.check(hashed, "right", verdicts.append, lambda: True)
        checked.close()
        thread = checked._thread
        assert thread is not None
        await asyncio.get_running_loop().run_in_executor(None, thread.shutdown)
        for _ in range(3):
            await asyncio.sleep(0)
        return verdicts

    assert asyncio.run(run()) == []
