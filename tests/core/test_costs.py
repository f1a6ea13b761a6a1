"""What costs no more the more there is: deleting what is not durable yet, CONNECT with many subscriptions."""

import time
from collections.abc import Callable

from mq9fast._core.pubsub.permissions import Permissions
from tests.support.in_memory import Parts, pub


def processor_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def seconds_to_delete_unreleased(count: int) -> float:
    """What it takes to delete so many messages, the oldest first, that a reader waits for."""
    parts = Parts()
    parts.create(b"box")
    parts.end_turn()
    peer = parts.session()
    peer.feed(b"SUB $mq9.AI.MAILBOX.MSG.box 1\r\n")
    parts.end_turn()
    peer.feed(pub(b"$mq9.AI.MAILBOX.MSG.box", b"x") * count)
    deletions = b"".join(pub(b"$mq9.AI.MAILBOX.DELETE.box.%d" % number) for number in range(count))
    seconds = processor_seconds(lambda: peer.feed(deletions))
    assert parts.mailbox_writer.deleted == count
    assert peer.after_turn() == b""
    return seconds


def test_deleting_what_is_not_durable_yet_costs_the_same_for_each_message() -> None:
    few = min(seconds_to_delete_unreleased(2_500) for _ in range(3))
    many = min(seconds_to_delete_unreleased(20_000) for _ in range(3))
    assert many < 20 * few, (few, many)


def test_the_same_permissions_again_cost_nothing_however_many_subscriptions_there_are() -> None:
    parts = Parts()
    peer = parts.session()
    permissions = Permissions(None, (), None, ((b"secret.>", None),), 1)
    peer.session.permit(permissions)
    peer.feed(b"".join(b"SUB s.%d %d\r\n" % (number, number) for number in range(20_000)))
    once = processor_seconds(lambda: peer.session.permit(None))
    again = processor_seconds(lambda: [peer.session.permit(None) for _ in range(100)])
    assert again < once, (once, again)
