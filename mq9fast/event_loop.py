"""Features of the event loop that asyncio's interface does not have. `server/compose.py` uses them."""

import asyncio


def ready_descriptor(loop: asyncio.AbstractEventLoop) -> int:
    """The epoll descriptor of uvloop, readable while any socket of the loop is ready; -1 for other loops."""
    return int(getattr(loop, "_get_backend_id", lambda: -1)())
