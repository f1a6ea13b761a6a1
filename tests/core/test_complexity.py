"""Operations whose cost must not grow faster than their number."""

import time
from collections.abc import Callable

from mq9fast._core.pubsub.permissions import Permissions
from tests.support.in_memory import Core, pub


def processor_seconds(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def seconds_to_delete(count: int) -> float:
    """Processor time to delete `count` messages that are not durable yet, oldest first. They have a
    subscriber, so that each has a live push to skip."""
    core = Core()
    core.create(b"box")
    core.end_turn()
    peer = core.session()
    peer.feed(b"SUB $mq9.AI.MAILBOX.MSG.box 1\r\n")
    core.end_turn()
    peer.feed(pub(b"$mq9.AI.MAILBOX.MSG.box", b"x") * count)
    deletions = b"".join(pub(b"$mq9.AI.MAILBOX.DELETE.box.%d" % number) for number in range(count))
    seconds = processor_seconds(lambda: peer.feed(deletions))
    assert core.mailbox_writer.deleted == count
    assert peer.after_turn() == b""
    return seconds


def test_deleting_messages_that_are_not_durable_takes_linear_time() -> None:
    few = min(seconds_to_delete(2_500) for _ in range(3))
    many = min(seconds_to_delete(20_000) for _ in range(3))
    assert many < 20 * few, (few, many)


def test_setting_the_same_permissions_again_does_not_walk_the_subscriptions() -> None:
    core = Core()
    peer = core.session()
    permissions = Permissions(None, (), None, ((b"secret.>", None),), 1)
    peer.session.permit(permissions)
    peer.feed(b"".join(b"SUB s.%d %d\r\n" % (number, number) for number in range(20_000)))
    once = processor_seconds(lambda: peer.session.permit(None))
    again = processor_seconds(lambda: [peer.session.permit(None) for _ in range(100)])
    assert again < once, (once, again)
