"""The stored count of mailboxes, which a start compares with the mailboxes that it finds."""

from collections.abc import Callable

import pytest

from mq9fast._core.storage.record import FORMAT_VERSION
from tests.support.broker import Broker
from tests.support.data_directory import change_rows, pack_number, rows_of
from tests.support.waiting import wait_until
from tests.support.wire_client import Wire

StartBroker = Callable[..., Broker]


def test_start_refuses_if_mailboxes_are_missing(start_broker: StartBroker) -> None:
    broker = start_broker()
    with Wire(broker.port) as wire:
        for name in ("one", "two", "three"):
            wire.create(name=name)
    broker.stop()
    record = rows_of(broker.data_dir, b"btwo")[b"btwo"]
    change_rows(broker.data_dir, {}, (b"btwo",))
    for _ in range(2):
        with pytest.raises(
            AssertionError, match="cannot be read: 3 mailboxes were stored, but only 2 were found"
        ):
            broker.start()
    accepting = start_broker("--accept-loss", "--monitor-port", "0", data_dir=broker.data_dir)
    assert "1 mailboxes are missing" in accepting.health
    with Wire(accepting.port) as wire:
        assert wire.list("two")["code"] == "mailbox_not_found"
    accepting.stop()
    assert "ERROR mq9fast.broker: 1 mailboxes are missing" in accepting.log.read_text()
    broker.start()
    broker.stop()
    change_rows(broker.data_dir, {b"btwo": record})
    broker.start()
    with Wire(broker.port) as wire:
        assert wire.list("two")["total"] == 0
    broker.stop()
    change_rows(broker.data_dir, {}, (b"n",))
    with pytest.raises(AssertionError, match="the count of mailboxes is missing"):
        broker.start()


@pytest.mark.parametrize("row", [b"bbox", b"n"], ids=["mailbox", "count"])
def test_mailbox_created_again_after_a_loss_reuses_no_id(start_broker: StartBroker, row: bytes) -> None:
    """A mailbox is missing, or its count is, and the operator accepts the loss."""
    broker = start_broker()
    with Wire(broker.port) as wire:
        wire.create(name="box")
        assert [wire.msg("box")["msg_id"] for _ in range(3)] == [0, 1, 2]
    broker.stop()
    change_rows(broker.data_dir, {}, (row, b"bbox"))
    accepting = start_broker("--accept-loss", data_dir=broker.data_dir)
    given = {0, 1, 2}
    for _ in range(3):
        with Wire(accepting.port) as wire:
            wire.create(name="box")
            again = wire.msg("box")["msg_id"]
        assert again not in given
        given.add(again)
        accepting.restart(kill=True)


def test_count_equals_the_number_of_records_after_a_kill(start_broker: StartBroker) -> None:
    broker = start_broker("--monitor-port", "0", "--max-mailboxes", "4")
    with Wire(broker.port) as wire:
        for name in ("one", "two", "three"):
            wire.create(name=name)
        wire.create(name="one")
        wire.msg("two", "renewed")
        wire.create(name="three", ttl=1)
        assert wire.create(name="four", ttl=1)["is_new"]
        wait_until(lambda: broker.metric("mq9fast_mailboxes") == 2)
        # Each mailbox takes the place of one that has expired.
        for _ in range(2):
            wire.create(name="five", ttl=1)
            wait_until(lambda: wire.list("five").get("code") == "mailbox_not_found")
        assert wire.create(name="five")["is_new"]
    broker.kill()
    assert set(rows_of(broker.data_dir, b"b")) == {b"bone", b"btwo", b"bfive"}
    assert rows_of(broker.data_dir, b"n") == {b"n": pack_number(3)}
    broker.start()


@pytest.mark.parametrize("version", [1, 2])
def test_older_directory_gets_a_count(start_broker: StartBroker, version: int) -> None:
    broker = start_broker()
    with Wire(broker.port) as wire:
        wire.create(name="one")
        wire.msg("one", "kept")
    broker.stop()
    change_rows(broker.data_dir, {b"v": pack_number(version)}, (b"n",))
    broker.start()
    with Wire(broker.port) as wire:
        assert wire.list("one")["messages"][0]["payload"] == "kept"
    broker.stop()
    rows = rows_of(broker.data_dir)
    assert (rows[b"v"], rows[b"n"]) == (pack_number(FORMAT_VERSION), pack_number(1))


def test_missing_mailboxes_of_format_3_are_noticed(start_broker: StartBroker) -> None:
    """Its count is compared before the directory gets the current format."""
    broker = start_broker()
    with Wire(broker.port) as wire:
        wire.create(name="one")
        wire.create(name="two")
    broker.stop()
    change_rows(broker.data_dir, {b"v": pack_number(3)}, (b"btwo",))
    with pytest.raises(AssertionError, match="2 mailboxes were stored, but only 1 were found"):
        broker.start()
    accepting = start_broker("--accept-loss", "--monitor-port", "0", data_dir=broker.data_dir)
    assert "1 mailboxes are missing" in accepting.health
    accepting.stop()
    rows = rows_of(broker.data_dir)
    assert (rows[b"v"], rows[b"n"]) == (pack_number(FORMAT_VERSION), pack_number(1))
