"""mq9fast: mailboxes for AI agents behind the NATS protocol."""

from mq9fast.version import VERSION

__version__ = VERSION
__all__ = ["VERSION"]
