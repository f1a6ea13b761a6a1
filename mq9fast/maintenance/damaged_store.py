"""Opens a store with missing or damaged files, for reading what is left of it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from mq9fast.errors import StartError, StoreError
from mq9fast.maintenance.manifest_edit import without_tables
from mq9fast.maintenance.report import Problem
from mq9fast.storage import layout
from mq9fast.storage.directory_checks import changed_tables
from mq9fast.storage.manifest import Manifest, manifest_content, parse_manifest
from mq9fast.storage.read_only import ReadOnlyStore, damaged_tables, rebuild
from mq9fast.storage.rocks_database import links_to


@contextlib.contextmanager
def open_damaged(path: Path, problems: list[Problem]) -> Iterator[ReadOnlyStore]:
    """Open what can be opened of the store in `path`, without changing it. Raises OSError and StoreError.

    Adds to `problems` which files cannot be used. What follows a damaged place of the log is read, too.
    """
    with contextlib.ExitStack() as stack:
        try:
            name, content = manifest_content(path)
            manifest, end = parse_manifest(path, name, content)
        except (StartError, FileNotFoundError) as error:
            problems.append(Problem(f"the tables are read without it: {_clause(error)}", "the MANIFEST"))
            reader = _open_rebuilt(path, stack, problems)
        else:
            try:
                reader = _open(path, manifest, content[:end], stack, problems)
            except StoreError as error:
                problems.append(Problem(f"the tables are read without it: {error}", manifest.name))
                reader = _open_rebuilt(path, stack, problems)
        stack.callback(reader.close)
        yield reader


def _open(
    path: Path, manifest: Manifest, content: bytes, stack: contextlib.ExitStack, problems: list[Problem]
) -> ReadOnlyStore:
    """Open the store without the tables of which nothing can be read. Where a table is damaged, the other
    tables are read."""
    links = stack.enter_context(links_to(path))
    damaged, unusable = leave_out_tables(links, path, manifest, content, problems)
    reader = ReadOnlyStore(links, skip_damage=True)
    if damaged:
        others = stack.enter_context(links_to(path))
        _replace_manifest(others, manifest, content, damaged + unusable)
        reader.others = ReadOnlyStore(others, skip_damage=True)
        stack.callback(reader.others.close)
    return reader


def leave_out_tables(
    links: Path, path: Path, manifest: Manifest, content: bytes, problems: list[Problem]
) -> tuple[list[int], list[int]]:
    """Replace the MANIFEST in `links` by one without the tables of which nothing can be read.

    Adds to `problems` which tables of `path` are missing or damaged. `content`: of the MANIFEST, up to its
    last complete edit. Returns the numbers of the tables that can be read in part, and of those left out.
    """
    damaged: list[int] = []
    changed = changed_tables(path, manifest)
    problems += (Problem(reason, f"{number:06d}.sst") for number, reason in changed.items())
    unusable = list(changed)
    whole = [f"{number:06d}.sst" for number in manifest.tables if number not in changed]
    for name, reason in damaged_tables(path, whole).items():
        problems.append(Problem(reason, name))
        number = int(name[:-4])
        (damaged if _has_readable_row(path, manifest, content, number) else unusable).append(number)
    _replace_manifest(links, manifest, content, unusable)
    return damaged, unusable


def _has_readable_row(path: Path, manifest: Manifest, content: bytes, number: int) -> bool:
    """Whether anything can be read of a damaged table."""
    with links_to(path, ("CURRENT", manifest.name, f"{number:06d}.sst")) as links:
        _replace_manifest(links, manifest, content, [each for each in manifest.tables if each != number])
        reader = ReadOnlyStore(links)
        try:
            rows = reader.readable_rows(b"", layout.LAST_KEY, lambda *_: None)
            return next(rows, None) is not None
        finally:
            reader.close()


def _replace_manifest(links: Path, manifest: Manifest, content: bytes, unusable: list[int]) -> None:
    link = links / manifest.name
    link.unlink()
    if unusable:
        content = without_tables(content, ((manifest.bounds[each][0], each) for each in unusable))
    link.write_bytes(content)


def _open_rebuilt(path: Path, stack: contextlib.ExitStack, problems: list[Problem]) -> ReadOnlyStore:
    """Open a database made of all tables and files of the log that can be read."""
    names = [file.name for file in path.iterdir() if file.suffix in {".sst", ".log"} and file.stem.isdigit()]
    for name, reason in damaged_tables(path, [name for name in names if name.endswith(".sst")]).items():
        problems.append(Problem(reason, name))
    links = stack.enter_context(links_to(path, names))
    rebuild(links)
    return ReadOnlyStore(links, skip_damage=True)


def _clause(error: Exception) -> str:
    return f"{error.filename} is missing" if isinstance(error, FileNotFoundError) else str(error)
