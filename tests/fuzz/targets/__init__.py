"""All targets, by name."""

from importlib import import_module
from typing import cast

from tests.fuzz.target import Target
from tests.fuzz.targets import files, permissions, protocol, rows, session, text, websocket

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        *protocol.TARGETS,
        session.TARGET,
        permissions.TARGET,
        *websocket.TARGETS,
        *rows.TARGETS,
        *files.TARGETS,
        *text.TARGETS,
    )
}


def find_target(name: str) -> Target:
    """The target of this name, or of `module:attribute`. Raises KeyError."""
    module, colon, attribute = name.partition(":")
    return cast(Target, getattr(import_module(module), attribute)) if colon else TARGETS[name]
