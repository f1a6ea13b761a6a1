"""The limits of a broker, from its settings: at a start, and again at each reload."""

from mq9fast._core.base.limits import Limits
from mq9fast.config.settings import Settings

# Limits whose values are those of the settings of the same names.
FROM_SETTINGS = (
    "max_mailboxes",
    "max_mailbox_messages",
    "max_mailbox_bytes",
    "max_store_bytes",
    "max_subscriptions",
    "max_subscription_tokens",
    "max_pending",
    "min_free",
    "busy_poll",
    "auto_create",
)


def set_limits(limits: Limits, settings: Settings, max_connections: int) -> None:
    """Set every limit. `max_connections` is the setting, or less if the system allows fewer descriptors."""
    limits.max_connections = max_connections
    for name in FROM_SETTINGS:
        setattr(limits, name, getattr(settings, name))
