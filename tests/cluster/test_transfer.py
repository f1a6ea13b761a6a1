"""A node copies the store of another one: whole, or not at all, and only with the cluster's secret."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from mq9fast._core.storage.record import FORMAT_VERSION
from mq9fast.cluster import seeding, transfer_server
from mq9fast.cluster.transfer_protocol import TransferError
from mq9fast.cluster.transfer_server import TransferServer

SECRET = "s" * 64


def fill(directory: Path) -> dict[str, bytes]:
    """Write some files, some empty and one larger than a chunk. Returns them by name."""
    generator = random.Random(9)
    sizes = {"CURRENT": 16, "000007.sst": 1_500_000, "empty": 0, "sub/000001.values": 70_000}
    files = {name: generator.randbytes(size) for name, size in sizes.items()}
    for name, data in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)
    return files


def files_in(directory: Path) -> dict[str, bytes]:
    paths = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path.relative_to(directory)): path.read_bytes() for path in paths}


async def checkpoint(path: Path) -> None:
    fill(path)


@contextlib.asynccontextmanager
async def source(
    tmp_path: Path, make: Callable[[Path], Awaitable[None]] = checkpoint, secret: str = SECRET
) -> AsyncIterator[str]:
    (tmp_path / "source").mkdir()
    server = TransferServer("n1", secret, tmp_path / "source" / "data", make)
    await server.start("127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        server.close()
    # No part of a copy stays.
    for _ in range(100):
        if not list((tmp_path / "source").iterdir()):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(list((tmp_path / "source").iterdir()))


def test_a_copy_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "old").write_bytes(b"of a store that was thrown away")

    async def test() -> None:
        async with source(tmp_path) as address:
            await seeding.seed(target, address, SECRET)

    asyncio.run(test())
    reference = tmp_path / "reference"
    assert files_in(target) == fill(reference)
    assert not seeding.is_unfinished(target)


def test_without_the_secret_nothing_is_copied(tmp_path: Path) -> None:
    made: list[Path] = []

    async def record(path: Path) -> None:
        made.append(path)

    async def test() -> None:
        async with source(tmp_path, record) as address:
            with pytest.raises(TransferError):
                await seeding.seed(tmp_path / "target", address, "another")

    asyncio.run(test())
    assert made == [] and not (tmp_path / "target").exists()


def test_a_source_without_the_secret_is_not_believed(tmp_path: Path) -> None:
    async def test() -> None:
        async with source(tmp_path, secret="another") as address:
            with pytest.raises(TransferError):
                await seeding.seed(tmp_path / "target", address, SECRET)

    asyncio.run(test())
    assert not (tmp_path / "target").exists()


def test_a_store_of_a_later_version_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "target"
    files = fill(target)
    monkeypatch.setattr(transfer_server, "FORMAT_VERSION", FORMAT_VERSION + 1)

    async def test() -> None:
        async with source(tmp_path) as address:
            with pytest.raises(TransferError, match="the store of node n1 is one of a later version"):
                await seeding.seed(target, address, SECRET)

    asyncio.run(test())
    assert files_in(target) == files


@pytest.mark.parametrize("kind", ["no checkpoint", "nobody listens", "the connection breaks"])
def test_a_copy_that_fails_leaves_the_old_store_or_is_marked_as_unfinished(tmp_path: Path, kind: str) -> None:
    files = fill(tmp_path / "target")

    async def make(path: Path) -> None:
        await checkpoint(path)
        if kind == "no checkpoint":
            raise TransferError("there is no store")

    async def test() -> None:
        async with source(tmp_path, make) as address, cutting_proxy(address) as cut:
            given = {"nobody listens": "127.0.0.1:1", "the connection breaks": cut}.get(kind, address)
            with pytest.raises(TransferError):
                await seeding.seed(tmp_path / "target", given, SECRET)

    asyncio.run(test())
    if kind == "the connection breaks":
        assert seeding.is_unfinished(tmp_path / "target")
    else:
        assert files_in(tmp_path / "target") == files


@contextlib.asynccontextmanager
async def cutting_proxy(source: str) -> AsyncIterator[str]:
    """A port that ends each connection after 200 kB of the copy."""
    port = int(source.rpartition(":")[2])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_source, to_source = await asyncio.open_connection("127.0.0.1", port)

        async def up() -> None:
            while data := await reader.read(1 << 16):
                to_source.write(data)

        task = asyncio.create_task(up())
        passed = 0
        while passed < 200_000 and (data := await from_source.read(1 << 14)):
            writer.write(data)
            passed += len(data)
        task.cancel()
        writer.close()
        to_source.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def test_names_that_lead_elsewhere_are_refused() -> None:
    for name in ("../x", "/etc/passwd", "a/../../b", seeding.MARKER):
        with pytest.raises(TransferError):
            seeding._safe(name)
