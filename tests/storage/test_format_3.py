"""A data directory of format 3, which had no value log, is opened and raised to the current format."""

from collections.abc import Callable

import pytest

from mq9fast._core.storage.record import FORMAT_VERSION
from tests.support.broker import Broker
from tests.support.data_directory import change_rows, move_values_to_tables, pack_number, rows_of
from tests.support.mailbox import list_all, send_each
from tests.support.wire_client import Wire

StartBroker = Callable[..., Broker]

PAYLOAD = "x" * 3000


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_directory_of_format_3_is_opened_and_raised(start_broker: StartBroker, kill: bool) -> None:
    broker = start_broker()
    send_each(broker.port, "large", 5, PAYLOAD)
    send_each(broker.port, "small", 5, "small")
    broker.stop()
    move_values_to_tables(broker.data_dir)
    change_rows(broker.data_dir, {b"v": pack_number(3)})
    assert not list(broker.data_dir.glob("*.seg"))
    broker.start()
    send_each(broker.port, "large", 5, PAYLOAD)
    for number in range(3):
        with Wire(broker.port) as wire:
            assert list(list_all(wire, "large").values()) == [PAYLOAD] * (10 + number)
            assert list(list_all(wire, "small").values()) == ["small"] * 5
        broker.restart(kill=kill)
        send_each(broker.port, "large", 1, PAYLOAD)
    broker.stop()
    assert rows_of(broker.data_dir, b"v") == {b"v": pack_number(FORMAT_VERSION)}
    sizes = sorted(len(value) for value in rows_of(broker.data_dir, b"m").values())
    assert sizes == [16 + 5] * 5 + [32] * 8 + [16 + len(PAYLOAD)] * 5
