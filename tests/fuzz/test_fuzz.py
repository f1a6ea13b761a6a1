"""A short run of the fuzzers, the same in every run, and the inputs that were defects once."""

import signal
from pathlib import Path

import pytest

from mq9fast._core.testing.debug_build import is_debug_build
from tests.fuzz.campaign import run_campaign
from tests.fuzz.target import CORPUS, Target
from tests.fuzz.targets import TARGETS, find_target

SEED = 15
SECONDS = 12.0
DAMAGED = ("rows", "row-keys")
# The debug core asserts that mailboxes count their rows rightly, which damaged rows contradict.
NAMES = [name for name in TARGETS if not (is_debug_build() and name in DAMAGED)]
KEPT = sorted(path.relative_to(CORPUS) for path in CORPUS.glob("*/*"))


def test_a_short_run_finds_nothing(tmp_path: Path) -> None:
    print(f"make fuzz SEED={SEED}")
    outcomes = run_campaign(NAMES, SEED, SECONDS, tmp_path, jobs=2)
    assert [outcome for outcome in outcomes if outcome.problem] == []
    assert all(outcome.progress.runs > 0 for outcome in outcomes if outcome.progress)


@pytest.mark.parametrize("path", KEPT, ids=str)
def test_a_former_defect_is_none(path: Path) -> None:
    if path.parent.name not in NAMES:
        pytest.skip("the debug core asserts that counts are right")
    find_target(path.parent.name).run((CORPUS / path).read_bytes())


# The fuzzer itself.


def crash(data: bytes) -> None:
    if b"77" in data:
        signal.raise_signal(signal.SIGSEGV)


def refuse(data: bytes) -> None:
    assert b"77" not in data


def never_end(data: bytes) -> None:
    while b"77" in data:
        pass


CRASHES, REFUSES, HANGS = (Target("planted", run, [b"x7y7"], [b"7"]) for run in (crash, refuse, never_end))


@pytest.mark.parametrize(
    ("planted", "problem"),
    [
        ("CRASHES", "ended with -11"),
        ("REFUSES", "ended with 1: AssertionError"),
        ("HANGS", "an input took more than 2 s"),
    ],
)
def test_a_planted_defect_is_found(planted: str, problem: str, tmp_path: Path) -> None:
    """The input that shows it is kept, whether the process raised, died or hung."""
    (outcome,) = run_campaign([f"{__name__}:{planted}"], SEED, 60.0, tmp_path, hang_seconds=2.0)
    assert outcome.problem is not None and outcome.problem.startswith(problem)
    assert outcome.input is not None and b"77" in outcome.input.read_bytes()
