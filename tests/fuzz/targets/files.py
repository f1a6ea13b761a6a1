"""Files of the data directory: RocksDB's log and MANIFEST, the value log, the state file."""

import contextlib
import os
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mq9fast._core.storage.dropped_rows import dropped_rows, uid_in, without_messages
from mq9fast._core.storage.live_values import LiveValues, points_to, rows_in
from mq9fast._core.storage.record import CorruptRecord
from mq9fast._core.storage.rocks_log import BatchReader, PayloadReader, find_last_sequence, values_in
from mq9fast._core.storage.segment_scanner import SegmentScanner
from mq9fast._core.storage.value_reader import ValueReader
from mq9fast.errors import StartError, StoreError
from mq9fast.storage.broker_state import BrokerState, pack_state, read_state
from mq9fast.storage.manifest import read_manifest
from mq9fast.storage.state_file import StateFile
from tests.core.test_value_reader import KEYS, OFFSETS, SEGMENT, VALUES
from tests.fuzz.target import Target
from tests.support.rocks_log import log_of, write_batch
from tests.support.stored_rows import mailbox_record, segment_head, value_pointer, value_record

# Removed at the end of the process.
_DIRECTORY = tempfile.TemporaryDirectory(prefix="fuzz-")
SCRATCH = Path(_DIRECTORY.name)


def read_log(data: bytes) -> None:
    """As a file of the log, and as the one payload of such a file."""
    for file in (data, log_of([data])):
        reader, payloads = BatchReader(0), PayloadReader()
        reader.feed(file)
        payloads.feed(file)
        assert 0 <= reader.end <= len(file)
        find_last_sequence(file, len(file) // 3, 0, 2**40)
        cut = BatchReader(0)
        cut.feed(file[: len(file) // 2])
        cut.feed(file[len(file) // 2 :])
    assert all(value in data for value in values_in(data))


def read_values(data: bytes) -> None:
    """As a segment of the value log, as a value in one, and as a pointer into it."""
    for content in (data, segment_head(1) + data, segment_head(1) + value_record(KEYS[0], data)):
        descriptor = _file(content)
        try:
            for _, offset, size in SegmentScanner(descriptor, 1, len(content)):
                assert offset + size <= len(content)
        except CorruptRecord:
            pass
        finally:
            os.close(descriptor)
    reader = ValueReader(lambda _: _file(SEGMENT), 2)
    with contextlib.suppress(CorruptRecord, OSError):
        reader.resolve(data)
    reader.is_readable(data)
    reader.close()
    rows = [(KEYS[0], data), (KEYS[1], data)]
    LiveValues().count(iter(rows), 9)
    rows_in(iter(rows), {1}, 9)
    points_to(data, 1, OFFSETS[0])
    try:
        list(dropped_rows(rows, lambda _: False))
        assert len(without_messages(data, 2, 3, 100, 5)) == len(data)
        uid_in(data)
    except CorruptRecord:
        pass


def _file(content: bytes) -> int:
    descriptor = os.memfd_create("segment")
    os.pwrite(descriptor, content, 0)
    return descriptor


def read_manifest_file(data: bytes) -> None:
    """As a MANIFEST, and as the one edit in it."""
    (SCRATCH / "CURRENT").write_bytes(b"MANIFEST-000001\n")
    for content in (data, log_of([data])):
        (SCRATCH / "MANIFEST-000001").write_bytes(content)
        for after_power_cut in (False, True):
            with contextlib.suppress(StartError):
                read_manifest(SCRATCH, after_power_cut=after_power_cut)


def read_state_file(data: bytes) -> None:
    """As a state file, and as the state in it."""
    for content in _state_files(data):
        path = SCRATCH / "state"
        path.write_bytes(content)
        file = StateFile(path)
        try:
            read_state(file)
            file.write(b"new")
            assert file.read() == b"new"
        except StoreError:
            pass
        finally:
            file.close()


def _state_files(data: bytes) -> Iterator[bytes]:
    yield data
    path = SCRATCH / "packed"
    path.unlink(missing_ok=True)
    file = StateFile(path)
    file.write(data[:4000])
    file.close()
    yield path.read_bytes()


def _edit(*fields: tuple[int, bytes]) -> bytes:
    return b"".join(bytes([tag]) + field for tag, field in fields)


_STATE = BrokerState(True, True, "interval", 3, 9, 7, "a" * 36, "b" * 36, {4: 17, 7: 23})
_MANIFEST = _edit(
    (1, b"\x03abc"), (2, b"\x04"), (3, b"\x09"), (4, b"\x0a"), (5, b"\x00\x01x"), (6, b"\x00\x05")
)
_NEW_FILE = b"\x67\x00\x05\x09\x01a\x01b\x01\x02\x01\x06\x01"
_BATCH = write_batch((1, b"key", b"value"), (0, b"key", b""), (15, b"a", b"b"))
TARGETS = [
    Target("log", read_log, [_BATCH, log_of([_BATCH, _BATCH]), log_of([_BATCH * 9])], [_BATCH, b"\x01\x05"]),
    Target(
        "values",
        read_values,
        [
            SEGMENT[:600],
            value_pointer(VALUES[0], 1, OFFSETS[0], 1024),
            value_pointer(VALUES[1], 1, OFFSETS[1], 1024, count=3, kept=1),
            mailbox_record(b"text", uid=3, next_id=9, count2=5, size_bytes=100),
            *KEYS,
        ],
        [*KEYS, struct.pack(">Q", 1), b"mq9v", b"\x05", b"\x03" + bytes(15)],
    ),
    Target(
        "manifest", read_manifest_file, [_MANIFEST, _MANIFEST + _NEW_FILE, log_of([_MANIFEST])], [_NEW_FILE]
    ),
    Target("state", read_state_file, [pack_state(_STATE), *_state_files(pack_state(_STATE))], [b"mq9s"]),
]
