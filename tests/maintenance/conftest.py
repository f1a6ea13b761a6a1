"""One data directory with messages of every kind for all tests of a module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.data_directory import file_hashes
from tests.support.diverse import Diverse, make_diverse


@pytest.fixture(scope="session")
def diverse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Diverse]:
    """The directory; a test that damages it works on a copy."""
    made = make_diverse(tmp_path_factory.mktemp("diverse") / "data")
    before = file_hashes(made.path)
    yield made
    assert file_hashes(made.path) == before


@pytest.fixture
def damaged(diverse: Diverse, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    return diverse.copy(tmp_path / "damaged")
