"""Random stories of owners, followers and an unsure log: the promises hold, and each rule is needed."""

import pytest

from mq9fast.cluster.appender import Appender
from mq9fast.cluster.follower import Follower
from mq9fast.cluster.log_writer import LogWriter
from mq9fast.cluster.record import FENCE, header_of
from mq9fast.cluster.replicated_store import ReplicatedStore
from tests.cluster.model import Model, UnsureLog
from tests.support.virtual_loop import run_virtually

STORIES = 40
STORY_SECONDS = 60.0


def problems(model_type: type[Model], seed: int) -> list[str]:
    """What goes wrong in one story."""
    found: list[str] = []

    async def play() -> None:
        model = model_type(seed)
        await model.run(STORY_SECONDS)
        assert model.acknowledged
        found.extend(model.problems)

    run_virtually(play())
    return found


@pytest.mark.parametrize("seed", range(STORIES))
def test_nothing_acknowledged_is_lost_and_no_read_is_stale(seed: int) -> None:
    assert problems(Model, seed) == []


def test_stories_change_owners_and_meet_every_kind_of_trouble() -> None:
    fences = parts = 0

    async def play() -> None:
        nonlocal fences, parts
        model = Model(1)
        await model.run(STORY_SECONDS)
        headers = [header_of(record) for record in model.records.records]
        fences = sum(header.kind == FENCE for header in headers)
        parts = sum(header.of > 1 for header in headers)

    run_virtually(play())
    assert fences > 5
    assert parts > 20


class BelievesTaken(Appender):
    """Takes a taken place for its own record, without reading it."""

    def _place_taken(self, append: object, expected: int, last: int) -> None:
        self._stored(append, expected + 1)  # type: ignore[arg-type]


class AsksForTheEnd(Appender):
    """After no answer, puts the record behind the end that the log names then."""

    def _place_taken(self, append: object, expected: int, last: int) -> None:
        append.expected = last  # type: ignore[attr-defined]
        self._send(append)  # type: ignore[arg-type]


class ExpectsNothing(UnsureLog):
    """Appends behind whatever is there."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        append = self.appender.append
        self.append = lambda record, expected, done: append(record, None, done)  # type: ignore[method-assign]


class Believing(UnsureLog):
    appender_type = BelievesTaken


class Asking(UnsureLog):
    appender_type = AsksForTheEnd


class WithoutReadingBack(Model):
    log_type = Believing


class WithAnotherPlace(Model):
    log_type = Asking


class WithoutExpectation(Model):
    log_type = ExpectsNothing


class AnswersFirst(Model):
    answers_first = True


class ReadsWithoutLease(Model):
    def may_read(self, trusted: bool) -> bool:
        return True


class WithoutFence(Model):
    """Catches up with what is there, and appends behind it."""

    async def take_over(
        self, log: UnsureLog, store: ReplicatedStore, follower: Follower, epoch: int, name: str
    ) -> None:
        log.appender.end = self.records.last
        await follower.reach(self.records.last)
        chain = store.position.chain
        store.writer = LogWriter(log, chain)


class AppliesOldEpochs(Follower):
    """Without rule R."""

    def _take(self, sequence: int, part: bytes) -> None:
        self._epoch = min(self._epoch, header_of(part).epoch)
        super()._take(sequence, part)


class WithoutEpochs(WithoutExpectation):
    follower_type = AppliesOldEpochs


@pytest.mark.parametrize(
    "model_type",
    [
        WithoutReadingBack,
        WithAnotherPlace,
        WithoutExpectation,
        AnswersFirst,
        ReadsWithoutLease,
        WithoutFence,
        WithoutEpochs,
    ],
)
def test_each_rule_is_needed(model_type: type[Model]) -> None:
    assert any(problems(model_type, seed) for seed in range(STORIES))
