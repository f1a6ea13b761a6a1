"""Data directories of earlier formats are read, and have the current format after a start."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mq9fast._core.storage.record import FORMAT_VERSION
from mq9fast.storage.layout import COUNT_KEY, VERSION_KEY, mailbox_key
from mq9fast.storage.rocks import RocksStore
from tests.support.broker import Broker, start_error
from tests.support.data_directory import change_rows, pack_number, rows_of
from tests.support.stored_rows import attribute, mailbox_record, message_key, message_value
from tests.support.wire_client import Wire


@pytest.mark.parametrize("version", range(1, FORMAT_VERSION))
def test_older_directory_is_served_and_gets_the_current_format(
    tmp_path: Path, start_broker: Callable[..., Broker], version: int
) -> None:
    """Its mailboxes may get options."""
    store = RocksStore(tmp_path / "data")
    batch = store.new_batch()
    batch.put(VERSION_KEY, pack_number(version))
    batch.put(COUNT_KEY, pack_number(1))
    batch.put(mailbox_key(b"box"), mailbox_record(b"old", uid=3, next_id=5, count2=1, size_bytes=4))
    batch.put(message_key(3, 2, 4), message_value(1, b"", b"text"))
    store.write(batch)
    store.close()
    broker = start_broker(data_dir=tmp_path / "data")
    with Wire(broker.port) as wire:
        page = wire.list("box")
        assert [message["payload"] for message in page["messages"]] == ["text"]
        assert "create_time" not in page["mailbox"]
        assert wire.create(name="box", max_messages=2)["options"] == {"max_messages": 2}
        assert wire.msg("box", "more") == {"msg_id": 5}
        assert wire.msg("box", "past")["code"] == "limit_exceeded"
    broker.restart()
    with Wire(broker.port) as wire:
        assert wire.msg("box", "past")["code"] == "limit_exceeded"
        assert wire.create(name="box", desc="old", max_bytes=9)["options"] == {
            "max_messages": 2,
            "max_bytes": 9,
        }
    broker.stop()
    assert rows_of(tmp_path / "data", VERSION_KEY)[VERSION_KEY] == pack_number(FORMAT_VERSION)


@pytest.mark.parametrize(
    "attributes", [attribute(200, 5), attribute(2, 0), attribute(2, b"short"), attribute(2, 5)[:-1], b"\x02"]
)
def test_record_with_attributes_that_no_version_wrote_is_refused(
    tmp_path: Path, start_broker: Callable[..., Broker], attributes: bytes
) -> None:
    broker = start_broker(data_dir=tmp_path / "data")
    with Wire(broker.port) as wire:
        wire.create(name="box", max_messages=2)
    broker.stop()
    change_rows(tmp_path / "data", {b"bbox": mailbox_record(attributes=attributes)})
    error = start_error("--data-dir", tmp_path / "data", may_log=True)
    assert "holds data that cannot be read" in error
