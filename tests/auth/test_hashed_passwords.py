"""Passwords that are hashes: many at a time, and clients that leave before theirs is checked."""

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

# A quarter of a second.
COST = 12


@pytest.fixture
def broker(start_broker: Callable[..., Broker], tmp_path: Path) -> Broker:
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(COST)).decode()
    config = tmp_path / "mq9.toml"
    config.write_text(f'[[users]]\nuser = "anna"\npassword = "{hashed}"\n')
    return start_broker("--config", str(config), "--monitor-port", "0")


def anna(broker: Broker, password: str) -> Wire:
    return Wire(broker.port, {"user": "anna", "pass": password})


@pytest.fixture
def max_seconds(broker: Broker) -> Iterator[float]:
    """What a third of a hundred checks take of a processor. The broker may not take more of it by the end."""
    began = time.process_time()
    bcrypt.checkpw(b"wrong", bcrypt.hashpw(b"right", bcrypt.gensalt(COST)))
    # One to make the hash, one to compare.
    most = (time.process_time() - began) / 2 * 100 / 3
    yield most
    assert broker.cpu_seconds < most


def test_a_fleet_that_comes_to_a_broker_just_started_is_let_in_at_once(
    broker: Broker, max_seconds: float
) -> None:
    with ExitStack() as stack:
        for wire in [stack.enter_context(anna(broker, "right")) for _ in range(100)]:
            wire.ping()


def test_who_left_is_not_waited_for(broker: Broker, max_seconds: float) -> None:
    for number in range(100):
        with anna(broker, f"wrong{number}"):
            pass
    with anna(broker, "right") as wire:
        wire.ping()
    wait_until(lambda: broker.metric("mq9fast_connections") == 0)


def test_checks_of_who_left_do_not_pile_up() -> None:
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


def test_a_stop_tells_nobody_of_what_is_being_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that was let in then would be read from again."""
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
