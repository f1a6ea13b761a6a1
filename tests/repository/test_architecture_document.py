"""The architecture and design documents name only files that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "docs/architecture.md", ROOT / "docs/design.md"]


def python_files(text: str) -> set[str]:
    """The names of Python files in a document, with their folders as far as it gives them."""
    return set(re.findall(r"`((?:\w+/)*\w+\.py)`", text))


def core_modules(text: str) -> set[str]:
    """The modules of the core in a document, as `_core/...`."""
    return set(re.findall(r"`(_core/(?:\w+/)*\w+)(?:\.pxd)?`", text))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_the_document_names_exist(document: Path) -> None:
    text = document.read_text()
    assert python_files(text) or core_modules(text)
    for name in python_files(text):
        found = list(ROOT.glob(f"mq9fast/**/{name}")) + list(ROOT.glob(f"tests/**/{name}"))
        assert found or (ROOT / name).exists(), name
    for name in core_modules(text):
        assert list((ROOT / "mq9fast").glob(f"{name}.p*")) or (ROOT / "mq9fast" / name).is_dir(), name


def test_the_document_has_a_row_for_every_package() -> None:
    rows = re.findall(r"^\| `(\w+)/`", DOCUMENTS[0].read_text(), re.M)
    packages = [path.parent for path in ROOT.glob("mq9fast/**/__init__.py")]
    names = {path.name for path in packages} - {"mq9fast", "_core", "pages", "checks", "sync"}
    assert names | {"mq9fast", "_core"} == set(rows)
