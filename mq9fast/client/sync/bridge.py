"""Calls coroutines of the wrapped object in its event loop, and waits for them."""

import functools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from mq9fast.client.errors import ClientClosed
from mq9fast.loop_thread import LoopClosedError, LoopThread

A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)
P = ParamSpec("P")
R = TypeVar("R")


class Bridge(Generic[A_co]):
    """An object of the client that runs in `loop`, for programs without a loop. Any thread may use it."""

    def __init__(self, loop: LoopThread, wrapped: A_co) -> None:
        self._loop = loop
        self._wrapped = wrapped

    def _run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        try:
            return self._loop.run(coroutine)
        except LoopClosedError:
            raise ClientClosed("The client is closed.") from None

    def _call(self, function: Callable[[], R]) -> R:
        """Call a function in the loop's thread."""
        return self._run(_called(function))

    def _each(self, items: AsyncIterator[R]) -> Iterator[R]:
        """The items of an async generator, each when it is wanted."""
        try:
            while True:
                try:
                    item = self._run(_next(items))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            if isinstance(items, AsyncGenerator) and not self._loop.is_closed:
                self._run(_close(items))


def waits(
    method: Callable[Concatenate[A, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[Bridge[A], P], R]:
    """The method of the wrapped object, as one that waits for its result."""

    def call(self: Bridge[A], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._run(method(self._wrapped, *args, **kwargs))

    functools.update_wrapper(call, method)
    return call


async def _called(function: Callable[[], R]) -> R:
    return function()


async def _next(items: AsyncIterator[R]) -> R:
    return await items.__anext__()


async def _close(items: AsyncGenerator[Any, None]) -> None:
    await items.aclose()
