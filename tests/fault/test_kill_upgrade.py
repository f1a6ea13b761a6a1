"""A broker that is killed, or loses power, while it raises the format of a data directory."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mq9fast._core.storage.record import FORMAT_VERSION
from tests.support.broker import Broker
from tests.support.data_directory import (
    change_rows,
    move_values_to_tables,
    pack_number,
    pretend_reboot,
    rows_of,
)
from tests.support.faults.shim import KILL, Shim
from tests.support.mailbox import list_all, send_each
from tests.support.wire_client import Wire

LARGE = "x" * 3000
CALLS = ("write", "written", "fsync", "synced", "rename", "unlink", "open")


@pytest.mark.parametrize("cuts_power", [False, True], ids=["kill", "power"])
def test_upgrade_goes_on_after_a_kill(
    start_broker: Callable[..., Broker], tmp_path: Path, cuts_power: bool
) -> None:
    data_dir = tmp_path / "data"
    broker = start_broker("--min-free", "0", data_dir=data_dir)
    for address, payload in (("large", LARGE), ("small", "small")):
        send_each(broker.port, address, 5, payload)
    broker.stop()
    move_values_to_tables(data_dir)
    change_rows(data_dir, {b"v": pack_number(3)})
    old = Path(shutil.copytree(data_dir, tmp_path / "old"))
    killed = 0
    for number, call in enumerate(CALLS):
        shutil.rmtree(data_dir)
        shutil.copytree(old, data_dir)
        directory = tmp_path / call
        directory.mkdir()
        shim = Shim(directory, data_dir)
        broker.env = shim.env
        rule = shim.fail(call, "*", KILL, skip=number)
        try:
            broker.start()
        except AssertionError:
            killed += 1
        broker.kill()
        rule.end()
        if cuts_power:
            shim.cut_power(lose_names=True)
            pretend_reboot(data_dir)
        broker.start()
        with Wire(broker.port) as wire:
            assert list(list_all(wire, "large").values()) == [LARGE] * 5, call
            assert list(list_all(wire, "small").values()) == ["small"] * 5, call
        broker.stop()
        assert rows_of(data_dir, b"v") == {b"v": pack_number(FORMAT_VERSION)}
    assert killed >= 4
