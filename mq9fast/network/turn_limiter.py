"""Spreads expensive work of many peers over several turns of the event loop, so that other clients are
served.

`admission.py` uses it for TLS handshakes. It knows only the event loop.
"""

import asyncio
from collections import deque


class TurnLimiter:
    """Lets at most `max_per_turn` callers of `wait` continue in each turn of the event loop, in order."""

    def __init__(self, max_per_turn: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._max_per_turn = max_per_turn
        self._left = max_per_turn
        self._waiters: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        """Return in this turn if the limit allows it, else in a later one."""
        if self._left == self._max_per_turn:
            self._loop.call_soon(self._begin_turn)
        if self._left and not self._waiters:
            self._left -= 1
            return
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter

    def _begin_turn(self) -> None:
        self._left = self._max_per_turn
        while self._waiters and self._left:
            waiter = self._waiters.popleft()
            if not waiter.done():  # cancelled: the connection was dropped
                waiter.set_result(None)
                self._left -= 1
        if self._left < self._max_per_turn:
            self._loop.call_soon(self._begin_turn)
