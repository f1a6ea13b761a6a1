"""Fills the data directory of a node with a copy of another node's store.

While MARKER is in the directory, what is in it is not whole: the next start throws it away.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import ssl
from pathlib import Path, PurePosixPath

import msgspec

from mq9fast._core.storage.record import FORMAT_VERSION
from mq9fast.cluster.transfer_protocol import (
    CHUNK_BYTES,
    MAX_LINE_BYTES,
    PROTOCOL,
    FileHeader,
    Hello,
    TransferError,
    prove,
)

log = logging.getLogger("mq9fast.transfer")

MARKER = "mq9fast.seeding"
CONNECT_SECONDS = 5.0
# The other node may make its checkpoint for this long before the first byte comes.
FIRST_BYTE_SECONDS = 300.0
RECEIVE_SECONDS = 30.0


def is_unfinished(directory: Path) -> bool:
    """Whether a directory holds a part of a copy."""
    return (directory / MARKER).exists()


def throw_away(directory: Path) -> None:
    """Remove all that is in a directory, which a marker announces first, and leave the marker. OSError."""
    directory.mkdir(0o700, parents=True, exist_ok=True)
    (directory / MARKER).touch()
    _sync(directory)
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != MARKER:
            path.unlink()
    _sync(directory)


def finish(directory: Path) -> None:
    """Make what is in the directory durable, and remove the marker. Raises OSError."""
    for path in directory.rglob("*"):
        _sync(path)
    _sync(directory)
    (directory / MARKER).unlink()
    _sync(directory)


async def seed(directory: Path, address: str, secret: str, tls: ssl.SSLContext | None = None) -> None:
    """Replace what is in `directory` by a copy of the store at `address`, host:port. Raises TransferError.

    What is there is thrown away once a copy begins to come.
    """
    host, _, port = address.rpartition(":")
    try:
        reader, writer = await asyncio.wait_for(
            asyncio.open_connection(host.strip("[]"), int(port), limit=MAX_LINE_BYTES, ssl=tls),
            CONNECT_SECONDS,
        )
        try:
            await asyncio.wait_for(prove(reader, writer, secret, caller=True), CONNECT_SECONDS)
            await _greet(reader)
            await asyncio.to_thread(throw_away, directory)
            size = await _receive(reader, directory)
        finally:
            with contextlib.suppress(OSError):
                writer.close()
        await asyncio.to_thread(finish, directory)
    except (OSError, EOFError, ValueError, asyncio.TimeoutError, asyncio.LimitOverrunError) as error:
        raise TransferError(f"{address}: {error or type(error).__name__}") from error
    log.info("copied a store of %d bytes from %s", size, address)


async def _greet(reader: asyncio.StreamReader) -> None:
    """Wait for the beginning of a copy. Raises TransferError if this version could not use it."""
    hello = msgspec.json.decode(await asyncio.wait_for(reader.readuntil(), FIRST_BYTE_SECONDS), type=Hello)
    if hello.protocol != PROTOCOL or hello.store_format > FORMAT_VERSION:
        raise TransferError(
            f"the store of node {hello.node} is one of a later version of mq9fast: upgrade this node"
        )


async def _receive(reader: asyncio.StreamReader, directory: Path) -> int:
    """Write the files that come; returns their bytes."""
    count = total = 0
    while True:
        line = await asyncio.wait_for(reader.readuntil(), RECEIVE_SECONDS)
        header = msgspec.json.decode(line, type=FileHeader)
        if not header.name:
            if header.size != count:
                raise TransferError(f"{count} files came, and {header.size} were sent")
            return total
        await _receive_file(reader, directory / _safe(header.name), header.size)
        count, total = count + 1, total + header.size


async def _receive_file(reader: asyncio.StreamReader, path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        while size:
            chunk = await asyncio.wait_for(reader.read(min(CHUNK_BYTES, size)), RECEIVE_SECONDS)
            if not chunk:
                raise TransferError("the other node ended in the middle of a file")
            size -= len(chunk)
            await asyncio.to_thread(file.write, chunk)


def _safe(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or name == MARKER:
        raise TransferError(f"{name!r} is not the name of a file of a store")
    return path


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
