"""A pace for work that many peers ask for at once, so that one round of the event loop does not do it all."""

import asyncio
from collections import deque


class Pace:
    """Lets `most` callers of `wait` go on in each round of the running event loop, the first first."""

    def __init__(self, most: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._most = most
        self._left = most
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        """Return in a round that has room for the caller."""
        if self._left == self._most:
            self._loop.call_soon(self._begin_round)
        if self._left and not self._waiting:
            self._left -= 1
            return
        turn = self._loop.create_future()
        self._waiting.append(turn)
        await turn

    def _begin_round(self) -> None:
        self._left = self._most
        while self._waiting and self._left:
            turn = self._waiting.popleft()
            if not turn.done():  # cancelled: its peer is given up
                turn.set_result(None)
                self._left -= 1
        if self._left < self._most:
            self._loop.call_soon(self._begin_round)
