"""discard "old" against a model: sends, deletions and ends of turns in any order."""

from hypothesis import given
from hypothesis import strategies as st

from mq9fast._core.mailbox.options import MailboxOptions
from mq9fast._core.mailbox.stored_messages import stored_messages
from tests.support.in_memory import MANY, Core, pub

PRIORITIES = ("critical", "urgent", "normal")

SENDS = st.tuples(st.just("send"), st.integers(0, 2), st.integers(0, 9))
MANY_SENDS = st.tuples(st.just("many"), st.integers(0, 2), st.integers(1, 150))
DELETIONS = st.tuples(st.just("delete"), st.integers(0, 200), st.just(0))
TURNS = st.tuples(st.just("turn"), st.just(0), st.just(0))
STEPS = st.lists(st.one_of(SENDS, MANY_SENDS, DELETIONS, TURNS), max_size=60)


class Model:
    """A mailbox with limits: msg_id -> (rank, size)."""

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self.max_messages = max_messages
        self.max_bytes = max_bytes
        self.messages: dict[int, tuple[int, int]] = {}
        self.next_id = 0

    def is_past(self, size: int) -> bool:
        sizes = [size, *(size for _, size in self.messages.values())]
        too_many = self.max_messages and len(sizes) > self.max_messages
        return bool(too_many or (self.max_bytes and sum(sizes) > self.max_bytes))

    def send(self, rank: int, size: int) -> None:
        if self.max_bytes and size > self.max_bytes:
            return
        while self.is_past(size):
            del self.messages[min(self.messages, key=lambda msg_id: (-self.messages[msg_id][0], msg_id))]
        self.messages[self.next_id] = (rank, size)
        self.next_id += 1

    def delete(self, msg_id: int) -> None:
        self.messages.pop(msg_id, None)


@MANY
@given(max_messages=st.sampled_from([0, 1, 2, 70]), max_bytes=st.sampled_from([0, 5, 9, 300]), steps=STEPS)
def test_mailbox_holds_what_the_model_holds(
    max_messages: int, max_bytes: int, steps: list[tuple[str, int, int]]
) -> None:
    core = Core()
    mailbox = core.create(b"box")
    options = MailboxOptions(max_messages=max_messages, max_bytes=max_bytes, discards_old=True)
    core.mailbox_index.set_options(mailbox, options)
    core.end_turn()
    model = Model(max_messages, max_bytes)
    peer = core.session()

    def send(rank: int, size: int) -> None:
        peer.feed(pub(b"$mq9.AI.MAILBOX.MSG.box." + PRIORITIES[rank].encode(), b"x" * size))
        model.send(rank, size)

    for step, one, other in steps:
        if step == "send":
            send(one, other)
        elif step == "many":
            for n in range(other):
                send(one, n % 3)
        elif step == "delete":
            peer.feed(pub(b"$mq9.AI.MAILBOX.DELETE.box.%d" % one))
            model.delete(one)
        else:
            core.end_turn()
        assert mailbox.total_count == len(model.messages)
        assert mailbox.size_bytes == sum(size for _, size in model.messages.values())
    core.end_turn()
    stored = {
        msg_id: (rank, len(payload))
        for rank in range(3)
        for msg_id, _, _, payload, _ in stored_messages(core.store, mailbox, rank, 0)  # type: ignore[arg-type]
    }
    assert stored == model.messages
    # Nothing else is left in the store than rows of these messages.
    if not stored:
        assert not [key for key in core.store.pairs if key.startswith(b"m")]
