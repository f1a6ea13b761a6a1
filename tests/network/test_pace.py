"""A pace for what many peers ask for at once."""

import asyncio

from mq9fast.network.pace import Pace


def test_so_many_go_on_in_a_round_of_the_loop_the_first_first() -> None:
    async def run() -> list[list[int]]:
        pace = Pace(3)
        rounds: list[list[int]] = [[]]

        async def peer(number: int) -> None:
            await pace.wait()
            rounds[-1].append(number)

        peers = [asyncio.ensure_future(peer(number)) for number in range(10)]
        # One that is given up takes nobody's place.
        await asyncio.sleep(0)
        peers[4].cancel()
        while not all(each.done() for each in peers):
            rounds.append([])
            await asyncio.sleep(0)
        return rounds

    rounds = asyncio.run(run())
    assert [number for each in rounds for number in each] == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert max(map(len, rounds)) == 3


def test_nobody_waits_at_a_pace_that_nobody_else_wants() -> None:
    async def run() -> None:
        pace = Pace(1)
        for _ in range(5):
            waiting = pace.wait()
            try:
                waiting.send(None)
            except StopIteration:
                pass
            else:
                raise AssertionError("it waits")
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    asyncio.run(run())
