"""Housekeeping continues when one of its steps fails."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.broker import Broker
from tests.support.faults.shim import Shim
from tests.support.waiting import wait_until
from tests.support.wire_client import Wire


@pytest.fixture
def broker(tmp_path: Path, shim: Shim) -> Iterator[Broker]:
    broker = Broker(tmp_path / "data", "--monitor-port", "0", "--sync", "never", env=shim.env)
    yield broker
    broker.end()


def test_mailboxes_expire_while_free_disk_space_cannot_be_checked(broker: Broker, shim: Shim) -> None:
    with Wire(broker.port) as wire:
        with shim.failing("statvfs", "*", errno.EIO) as rule:
            wait_until(lambda: rule.seen > 1)
            wire.create(name="short", ttl=1)
            wire.msg("short", b"x" * 1000)
            wait_until(lambda: broker.metric("mq9fast_mailboxes") == 0)
            assert "checking the free disk space failed: [Errno 5]" in broker.health
            before = rule.seen
            wait_until(lambda: rule.seen > before)
        wait_until(lambda: not broker.health)
        with shim.failing("statvfs", "*", errno.EIO, most=1) as rule:
            wait_until(lambda: rule.seen > 2)
    wait_until(lambda: broker.log.read_text().count("checking the free disk space failed") == 1)
