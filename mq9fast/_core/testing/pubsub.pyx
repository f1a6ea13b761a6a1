"""Plain subjects, permissions and the work of a turn, called from Python."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport empty_view, view_of
from mq9fast._core.protocol.subject cimport valid_subject
from mq9fast._core.pubsub.client cimport Client, PendingWork, Subscription
from mq9fast._core.pubsub.permissions cimport Permissions, SubjectFilter
from mq9fast._core.pubsub.sublist cimport Sublist


def add_subscription(
    Sublist sublist not None, Client client not None, bytes subject not None, bytes queue=None
):
    """Subscribe `client` to `subject` and return the subscription; ValueError if the subject is not valid."""
    cdef Subscription subscription = Subscription(client, b"1", subject, queue)
    if not valid_subject(view_of(subject)):
        raise ValueError(f"not a valid subject: {subject!r}")
    sublist.insert(subscription)
    return subscription


def remove_subscription(Sublist sublist not None, Subscription subscription not None) -> bool:
    """Remove a subscription; False if it was not there."""
    return sublist.remove(subscription)


def subscription_count(Sublist sublist not None) -> int:
    return sublist.size


def change_count(Sublist sublist not None) -> int:
    """How often subscriptions were added or removed."""
    return sublist.generation


def cache_bytes(Sublist sublist not None) -> int:
    """Memory of the cached matches, in bytes."""
    return sublist.cache.used_bytes


def publishes(Permissions permissions not None, bytes subject not None) -> bool:
    """Whether the user may publish on the literal `subject`."""
    return permissions.may_publish(view_of(subject))


def subscribes(Permissions permissions not None, bytes subject not None, bytes queue=None) -> bool:
    """Whether the user may subscribe to `subject`, in the queue group `queue` if one is given."""
    return permissions.may_subscribe(view_of(subject), view_of(queue) if queue else empty_view())


def delivers(
    Permissions permissions not None, bytes subscribed not None, bytes subject not None, bytes queue=None
) -> bool:
    """Whether a subscription to `subscribed`, in the queue group `queue` if one is given, receives a message
    on the literal `subject`. The caller knows that the subjects match."""
    cdef SubjectFilter denied = permissions.filter_of(
        view_of(subscribed), view_of(queue) if queue else empty_view()
    )
    return denied is None or denied.allows(view_of(subject))


def set_turn_ns(PendingWork pending_work not None, uint64_t turn_ns) -> None:
    """Set how long a turn handles what it reads, in nanoseconds."""
    pending_work.turn_ns = turn_ns


def begin_end_of_turn(PendingWork pending_work not None) -> None:
    """As the engine does when it ends a turn."""
    pending_work.begin()


def close_clients(PendingWork pending_work not None) -> None:
    """Close the clients that are to be closed at the end of the turn."""
    pending_work.close_clients()
