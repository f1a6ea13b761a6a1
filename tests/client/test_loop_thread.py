"""A thread with an event loop: what coroutines return, raise, and what becomes of them at the end."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mq9fast.loop_thread import LoopClosedError, LoopThread
from tests.support.waiting import WAIT_SECONDS


async def divide(number: int) -> float:
    return 1 / number


async def wait_for_ever(started: threading.Event) -> None:
    started.set()
    await asyncio.Event().wait()


def test_results_and_exceptions_come_to_the_caller() -> None:
    thread = LoopThread("test")
    assert thread.run(divide(2)) == 0.5
    with pytest.raises(ZeroDivisionError):
        thread.run(divide(0))
    thread.close()


def test_close_ends_what_others_wait_for() -> None:
    thread, started = LoopThread("test"), threading.Event()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(lambda: thread.run(wait_for_ever(started)))
        assert started.wait(WAIT_SECONDS)
        thread.close()
        with pytest.raises(LoopClosedError):
            waiting.result(WAIT_SECONDS)
    thread.close()
    with pytest.raises(LoopClosedError):
        thread.run(divide(1))
    assert "test" not in {each.name for each in threading.enumerate()}
