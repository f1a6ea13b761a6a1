"""What the broker asks of its event loop beyond asyncio's interface."""

import asyncio


def ready_descriptor(loop: asyncio.AbstractEventLoop) -> int:
    """A descriptor that is readable while any socket of the loop's is, which uvloop gives; -1 from others."""
    return int(getattr(loop, "_get_backend_id", lambda: -1)())
