"""The states of a commit group: the pipeline refuses every transition that `NEXT_STATES` does not have."""

import pytest

from mq9fast._core.commit.commit_group import CommitGroup
from mq9fast._core.testing.storage import clear
from mq9fast.commit.pipeline import CommitPipeline
from mq9fast.commit.states import NEXT_STATES, GroupState
from tests.support.in_memory import MemoryBatch


@pytest.mark.parametrize("before", GroupState)
@pytest.mark.parametrize("after", GroupState)
def test_only_listed_transitions_are_allowed(before: GroupState, after: GroupState) -> None:
    group = CommitGroup(MemoryBatch())  # type: ignore[arg-type]
    group.state = before
    pipeline = CommitPipeline.__new__(CommitPipeline)
    if after in NEXT_STATES[before]:
        pipeline._set_state(group, after)
        assert group.state == after
    else:
        with pytest.raises(AssertionError, match="commit group"):
            pipeline._set_state(group, after)
        assert group.state == before


def test_cleared_group_gathers_again() -> None:
    group = CommitGroup(MemoryBatch())  # type: ignore[arg-type]
    group.state = GroupState.FAILED
    clear(group)
    assert group.state == GroupState.GATHERING
