"""tests/support/not_on_log.py names tests that exist."""

import ast
from pathlib import Path

import pytest

from tests.support.not_on_log import NOT_ON_LOG

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", NOT_ON_LOG)
def test_excluded_test_exists(name: str) -> None:
    file, _, test = name.partition("::")
    functions = {
        node.name
        for node in ast.walk(ast.parse((ROOT / file).read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    assert NOT_ON_LOG[name]
    assert not test or test.partition("[")[0] in functions
