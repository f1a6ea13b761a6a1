"""Fixtures of the tests of settings."""

from pathlib import Path

import pytest

from tests.settings.inputs import Inputs


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    return Inputs(tmp_path)
