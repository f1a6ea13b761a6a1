"""Tasks end when they are cancelled, also in the moment in which they get what they wait for."""

import asyncio

import pytest

from mq9fast.cluster import tasks
from mq9fast.cluster.connection import Access, Connection
from mq9fast.cluster.tasks import end_tasks
from mq9fast.cluster.wire import Message


def test_task_that_swallows_a_cancellation_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "AGAIN_SECONDS", 0.01)
    cancelled = 0

    async def stubborn() -> None:
        nonlocal cancelled
        while cancelled < 2:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                cancelled += 1

    async def failing() -> None:
        raise ValueError

    async def main() -> None:
        running = [asyncio.create_task(stubborn()), asyncio.create_task(failing())]
        await asyncio.sleep(0)
        await end_tasks(*running)
        assert cancelled == 2 and all(task.done() for task in running)

    asyncio.run(main())


def test_request_that_is_cancelled_when_its_answer_comes() -> None:
    async def main() -> None:
        connection = Connection(Access([]), lambda: None)
        asking = asyncio.create_task(connection.ask("subject", {}, 60))
        await asyncio.sleep(0)
        (receive,) = connection._receivers.values()
        receive(Message(b"", b"", b"", b"", b"{}"))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(main())
