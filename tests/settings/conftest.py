"""What tests of settings are given."""

from pathlib import Path

import pytest

from tests.settings.told import Told


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)
