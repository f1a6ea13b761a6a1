"""What may be shown of names that users choose. To know a private address is to hold the right to use it, so
no page has one in full, whether the mailbox lives, is still to come or is gone."""

from mq9fast._core.delivery.delivery import MailboxSubscription
from mq9fast._core.mailbox.mailbox import Mailbox, MailboxIndex
from mq9fast._core.pubsub.client import Subscription
from mq9fast.text import printable

PREFIX = "$mq9.AI.MAILBOX.MSG."
MAX_SHOWN = 8
REST = "\u2026"


def masked(address: str) -> str:
    """The first quarter of an address, 8 characters at most."""
    return address[: min(MAX_SHOWN, len(address) // 4)] + REST


def shown_address(mailbox: Mailbox) -> str:
    """The address of a public mailbox that lives, or what may be shown of another's."""
    address = mailbox.address.decode()
    return address if mailbox.live and mailbox.public else masked(address)


class Privacy:
    """Shows what clients named, except where that is the address of a mailbox that is not public."""

    def __init__(self, directory: MailboxIndex) -> None:
        self._directory = directory

    def name(self, text: str) -> str:
        """A name of a client, a queue or a user."""
        mailbox = self._directory.get(text.encode("utf-8", "replace"))
        return text if mailbox is None or mailbox.public else masked(text)

    def subject(self, subscription: Subscription) -> str:
        """What is subscribed to."""
        subject = subscription.subject.decode("utf-8", "replace")
        if isinstance(subscription, MailboxSubscription):
            mailbox = subscription.mailbox
            seen = self._directory.get(mailbox.address) is mailbox
            address = shown_address(mailbox) if seen else masked(mailbox.address.decode())
            return PREFIX + address + subject[len(PREFIX) + len(mailbox.address) :]
        return self.name(printable(subject))
