"""Masks private mailbox addresses in everything that a page shows.

A client that knows a private address may use the mailbox. So no page shows one in full, whether its mailbox
is live, not created yet or ended. Clients also use addresses as client names, queue names or sids: every such
text goes through `Privacy` before a page shows it.
"""

from mq9fast._core.delivery.delivery import MailboxSubscription
from mq9fast._core.delivery.events import EventSubscription
from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast._core.mailbox.mailbox_index import MailboxIndex
from mq9fast._core.protocol.address import EVENT_PREFIX, MSG_PREFIX
from mq9fast._core.pubsub.client import Subscription
from mq9fast.network.connection_record import ClosedSubscription
from mq9fast.text import printable

MAX_UNMASKED = 8
ELLIPSIS = "\u2026"


def masked(address: str) -> str:
    """The first quarter of an address, at most 8 characters of it, and an ellipsis."""
    return address[: min(MAX_UNMASKED, len(address) // 4)] + ELLIPSIS


def address_or_mask(mailbox: Mailbox) -> str:
    """The address of a mailbox, masked unless the mailbox is public and live."""
    address = mailbox.address.decode()
    return address if mailbox.exists and mailbox.public else masked(address)


class Privacy:
    """Masks the address of every mailbox that is not public, in texts that clients chose."""

    def __init__(self, mailbox_index: MailboxIndex) -> None:
        self._mailbox_index = mailbox_index

    def name(self, text: str) -> str:
        """The name of a client, a queue or a user, or a sid: masked if it is a private address."""
        mailbox = self._mailbox_index.get(text.encode("utf-8", "replace"))
        return text if mailbox is None or mailbox.public else masked(text)

    def subject(self, subscription: Subscription) -> str:
        """The subject of a subscription, with a private address in it masked."""
        subject = subscription.subject.decode("utf-8", "replace")
        if isinstance(subscription, MailboxSubscription):
            mailbox = subscription.mailbox
            current = self._mailbox_index.get(mailbox.address) is mailbox
            address = address_or_mask(mailbox) if current else masked(mailbox.address.decode())
            return MSG_PREFIX + address + subject[len(MSG_PREFIX) + len(mailbox.address) :]
        if isinstance(subscription, EventSubscription):
            found = self._mailbox_index.get(subscription.address)
            name = subscription.address.decode()
            address = masked(name) if found is None else address_or_mask(found)
            return EVENT_PREFIX + address + subject[len(EVENT_PREFIX) + len(name) :]
        return self.name(printable(subject))

    def ended_subject(self, subscription: ClosedSubscription) -> str:
        """The same for a subscription of a closed connection."""
        if not subscription.address:
            return self.name(printable(subscription.subject))
        found = self._mailbox_index.get(subscription.address.encode())
        address = masked(subscription.address) if found is None else address_or_mask(found)
        # The tokens before the address are upper case, and an address is not.
        return subscription.subject.replace(f".{subscription.address}", f".{address}", 1)
