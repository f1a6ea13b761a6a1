"""TurnLimiter: how many callers continue in one turn of the event loop."""

import asyncio

from mq9fast.network.turn_limiter import TurnLimiter


def test_callers_continue_in_order_and_no_more_than_the_limit_in_a_turn() -> None:
    async def run() -> list[list[int]]:
        limiter = TurnLimiter(3)
        turns: list[list[int]] = [[]]

        async def peer(number: int) -> None:
            await limiter.wait()
            turns[-1].append(number)

        peers = [asyncio.ensure_future(peer(number)) for number in range(10)]
        # A cancelled caller does not count.
        await asyncio.sleep(0)
        peers[4].cancel()
        while not all(each.done() for each in peers):
            turns.append([])
            await asyncio.sleep(0)
        return turns

    turns = asyncio.run(run())
    assert [number for each in turns for number in each] == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert max(map(len, turns)) == 3


def test_a_single_caller_never_waits() -> None:
    async def run() -> None:
        limiter = TurnLimiter(1)
        for _ in range(5):
            waiting = limiter.wait()
            try:
                waiting.send(None)
            except StopIteration:
                pass
            else:
                raise AssertionError("it waits")
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    asyncio.run(run())
