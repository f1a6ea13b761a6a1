"""Gives other nodes copies of this node's store, from the port `cluster_port`."""

import asyncio
import contextlib
import functools
import logging
import shutil
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from mq9fast._core.storage.record import FORMAT_VERSION
from mq9fast.cluster.transfer_protocol import (
    CHUNK_BYTES,
    PROTOCOL,
    FileHeader,
    Hello,
    TransferError,
    prove,
)
from mq9fast.errors import StartError, StoreError

log = logging.getLogger("mq9fast.transfer")

HANDSHAKE_SECONDS = 5.0
# A receiver that takes no bytes for so long is gone.
SEND_SECONDS = 30.0
# One copy at a time: each holds a checkpoint, and reads all of the store.
MAX_COPIES = 1


class TransferServer:
    """Listens for nodes that copy the store. `checkpoint` makes a consistent copy in a directory that does
    not exist yet; it raises StoreError, or TransferError if there is no store now."""

    def __init__(
        self, node: str, secret: str, data_dir: Path, checkpoint: Callable[[Path], Awaitable[None]]
    ) -> None:
        self._node = node
        self._secret = secret
        self._data_dir = data_dir
        self._checkpoint = checkpoint
        self._server: asyncio.Server | None = None
        self._copies = asyncio.Semaphore(MAX_COPIES)
        self.port = 0

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Listen. Raises StartError."""
        try:
            self._server = await asyncio.start_server(self._serve, host, port, ssl=tls)
        except OSError as error:
            raise StartError(
                f"cluster_port: {host}:{port} cannot be listened on: {error.strerror}"
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Stop listening. Copies under way end with the process."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        try:
            await asyncio.wait_for(prove(reader, writer, self._secret, caller=False), HANDSHAKE_SECONDS)
            async with self._copies:
                await self._copy(writer)
            log.info("the store was copied to %s", peer[0])
        except (TransferError, StoreError, OSError, EOFError, asyncio.TimeoutError) as error:
            log.warning("the store was not copied to %s: %s", peer[0], error or type(error).__name__)
        finally:
            with contextlib.suppress(OSError):
                writer.close()

    async def _copy(self, writer: asyncio.StreamWriter) -> None:
        # Beside the store, so that files can be linked instead of copied.
        parent = Path(tempfile.mkdtemp(prefix=".mq9fast-copy-", dir=self._data_dir.parent))
        try:
            await self._checkpoint(parent / "store")
            await self._send(writer, parent / "store")
        finally:
            await asyncio.to_thread(functools.partial(shutil.rmtree, parent, ignore_errors=True))

    async def _send(self, writer: asyncio.StreamWriter, directory: Path) -> None:
        writer.write(msgspec.json.encode(Hello(PROTOCOL, self._node, FORMAT_VERSION)) + b"\n")
        files = await asyncio.to_thread(_files, directory)
        for path in files:
            size = path.stat().st_size
            writer.write(msgspec.json.encode(FileHeader(str(path.relative_to(directory)), size)) + b"\n")
            with path.open("rb") as file:
                while size:
                    chunk = await asyncio.to_thread(file.read, min(CHUNK_BYTES, size))
                    if not chunk:
                        raise TransferError(f"{path.name} became shorter while it was sent")
                    size -= len(chunk)
                    writer.write(chunk)
                    await asyncio.wait_for(writer.drain(), SEND_SECONDS)
        writer.write(msgspec.json.encode(FileHeader("", len(files))) + b"\n")
        await asyncio.wait_for(writer.drain(), SEND_SECONDS)


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())
