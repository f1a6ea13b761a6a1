"""mq9fast: a message broker with mailboxes for AI agents, for any NATS client."""

from typing import TYPE_CHECKING, Any

from mq9fast.version import VERSION

if TYPE_CHECKING:
    from mq9fast.client import connect

__version__ = VERSION
__all__ = ["VERSION", "connect"]


def __getattr__(name: str) -> Any:
    """Import what is exported when it is first used: `import mq9fast` alone loads nothing."""
    if name != "connect":
        raise AttributeError(f"module 'mq9fast' has no attribute '{name}'")
    try:
        from mq9fast.client import connect
    except ModuleNotFoundError as error:
        if error.name != "nats":
            raise
        raise ImportError("The client needs nats-py: pip install 'mq9fast[client]'") from None
    return connect
