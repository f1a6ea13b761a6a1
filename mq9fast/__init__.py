"""mq9fast: a message broker with mailboxes for AI agents, for any NATS client."""

import sys
from typing import TYPE_CHECKING, Any

from mq9fast.version import VERSION

if TYPE_CHECKING:
    from mq9fast.client import connect, connect_sync
    from mq9fast.errors import SettingsError, StartError
    from mq9fast.server.embedded import Broker

if sys.version_info < (3, 10):  # noqa: UP036 (pip checks it; a program run from the sources does not)
    raise ImportError(
        "mq9fast needs Python 3.10 or later, and this is Python {}.{}".format(*sys.version_info)
    )

__version__ = VERSION
__all__ = ["VERSION", "Broker", "SettingsError", "StartError", "connect", "connect_sync"]

# The module of each exported name, imported when the name is first used: `import mq9fast` alone is quick.
_EXPORTS = {
    "Broker": "mq9fast.server.embedded",
    "SettingsError": "mq9fast.errors",
    "StartError": "mq9fast.errors",
    "connect": "mq9fast.client",
    "connect_sync": "mq9fast.client",
}


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'mq9fast' has no attribute {name!r}")
    import importlib

    try:
        value = getattr(importlib.import_module(_EXPORTS[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "nats":
            raise
        raise ImportError("The client needs nats-py: pip install 'mq9fast[client]'") from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
