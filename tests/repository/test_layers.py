"""Each package imports only lower layers: those that come before it in the lists below, and itself.

Imports for type checking count too.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "mq9fast"

# Each package may import those above it in its list, and itself.
CORE_LAYERS = ("base", "protocol", "pubsub storage websocket", "mailbox", "commit", "delivery", "", "testing")
LAYERS = (
    "_core",
    "",
    "client config storage",
    "auth mailbox maintenance",
    "network commit",
    "monitoring",
    "server mcp",
    "cluster",
    "cli",
)
# Modules of the package itself that users and tools start from. They import what they need when it is needed.
FACES = ("__init__.py", "__main__.py", "pytest_plugin.py")
CORE_IMPORT = re.compile(r"^\s*from (mq9fast[\w.]*) c?import", re.MULTILINE)


def ranks(layers: tuple[str, ...]) -> dict[str, int]:
    return {name: rank for rank, layer in enumerate(layers) for name in layer.split() or [""]}


def forbidden(importer: str, imported: str, rank: dict[str, int]) -> bool:
    return importer != imported and rank[imported] >= rank[importer]


def package(module: str, above: str, rank: dict[str, int]) -> str:
    """The package below `above` that a module is in, "" for `above` itself."""
    name = module.removeprefix(above).lstrip(".").partition(".")[0]
    return name if name in rank else ""


def imports(source: str) -> set[str]:
    """The modules that a module imports from, in a function or for type checking too."""
    return {
        node.module
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module is not None
    }


@pytest.mark.parametrize("file", sorted((ROOT / "_core").rglob("*.p[xy][xd]")), ids=lambda file: file.name)
def test_module_of_the_core_imports_only_lower_layers(file: Path) -> None:
    rank = ranks(CORE_LAYERS)
    *folders, _ = file.relative_to(ROOT / "_core").parts
    importer = folders[0] if folders else ""
    for module in CORE_IMPORT.findall(file.read_text()):
        assert module.startswith("mq9fast._core."), f"{file} imports {module}"
        assert not forbidden(importer, package(module, "mq9fast._core", rank), rank), (
            f"{file} imports {module}"
        )


@pytest.mark.parametrize("file", sorted(ROOT.rglob("*.py")), ids=lambda file: str(file.relative_to(ROOT)))
def test_module_imports_only_lower_layers(file: Path) -> None:
    rank = ranks(LAYERS)
    *folders, name = file.relative_to(ROOT).parts
    if folders[:1] == ["_core"] or (not folders and name in FACES):
        return
    importer = folders[0] if folders else ""
    for module in imports(file.read_text()):
        if module.partition(".")[0] == "mq9fast":
            assert not forbidden(importer, package(module, "mq9fast", rank), rank), f"{file} imports {module}"


def test_forbidden_import_is_found() -> None:
    rank = ranks(LAYERS)
    source = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mq9fast.server.broker import Broker\n"
    )
    assert imports(source) == {"typing", "mq9fast.server.broker"}
    assert forbidden("storage", "server", rank) and forbidden("commit", "network", rank)
    assert not forbidden("server", "storage", rank) and not forbidden("storage", "_core", rank)
