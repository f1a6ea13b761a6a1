"""mq9fast: a message broker with mailboxes for AI agents, for any NATS client."""

from mq9fast.version import VERSION

__version__ = VERSION
__all__ = ["VERSION"]
