"""With the debug build, a test of the core fails if it leaves an object or a block of memory behind."""

import contextlib
import gc
import pkgutil
from collections import Counter
from collections.abc import Iterator
from importlib import import_module

import pytest

import mq9fast._core
from mq9fast._core.engine import Engine
from mq9fast._core.session import Session
from mq9fast._core.testing.debug_build import live_objects

for _module in pkgutil.walk_packages(mq9fast._core.__path__, "mq9fast._core."):
    import_module(_module.name)


@pytest.fixture(autouse=True)
def no_objects_are_left() -> Iterator[None]:
    before = live_objects()
    yield
    if live_objects() != before:
        end_sessions()
        gc.collect()
    left = Counter(live_objects())
    left.subtract(before)
    assert not +left


def end_sessions() -> None:
    """Close all sessions, which detaches their consumers: the garbage collector does not track mailboxes.

    A queue group goes when what its members gave back is stored, in the next turns.
    """
    for session in [thing for thing in gc.get_objects() if isinstance(thing, Session)]:
        session.closed()
    for engine in [thing for thing in gc.get_objects() if isinstance(thing, Engine)]:
        for _ in range(2):
            # Some tests let every commit fail.
            with contextlib.suppress(RuntimeError):
                engine.end_turn()
