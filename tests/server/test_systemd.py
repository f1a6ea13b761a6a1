"""What the broker tells a service manager such as systemd, over a real datagram socket."""

import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.broker import Broker
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import Wire


class Manager:
    """The socket of a service manager."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        self.socket.settimeout(WAIT_SECONDS)

    def next(self) -> str:
        return self.socket.recv(4096).decode()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(str(tmp_path / "n") if request.param == "path" else f"@mq9fast-{tmp_path.name}")
    with manager.socket:
        yield manager


def test_the_manager_hears_of_start_reload_and_stop(
    start_broker: Callable[..., Broker], manager: Manager
) -> None:
    broker = start_broker(env={"NOTIFY_SOCKET": manager.name})
    assert manager.next() == "READY=1"
    with Wire(broker.port):  # it does accept clients
        pass
    broker.process.send_signal(signal.SIGHUP)
    reloading, microseconds = manager.next().split("\n")
    assert reloading == "RELOADING=1"
    assert int(microseconds.removeprefix("MONOTONIC_USEC=")) > 0
    assert manager.next() == "READY=1"
    assert broker.stop() == 0
    assert manager.next() == "STOPPING=1"


def test_the_manager_hears_of_a_reload_that_fails(
    start_broker: Callable[..., Broker], manager: Manager, tmp_path: Path
) -> None:
    config = tmp_path / "mq9.toml"
    config.write_text("")
    broker = start_broker("--config", str(config), env={"NOTIFY_SOCKET": manager.name})
    assert manager.next() == "READY=1"
    config.write_text("nonsense = 1")
    broker.process.send_signal(signal.SIGHUP)
    assert manager.next().startswith("RELOADING=1")
    assert manager.next() == "READY=1"
    wait_until(lambda: "reload failed" in broker.log.read_text())


def test_the_manager_hears_of_a_lame_duck(start_broker: Callable[..., Broker], manager: Manager) -> None:
    broker = start_broker("--lame-duck-duration", "0", env={"NOTIFY_SOCKET": manager.name})
    assert manager.next() == "READY=1"
    broker.process.send_signal(signal.SIGUSR2)
    assert manager.next() == "STOPPING=1"
    assert broker.process.wait(WAIT_SECONDS) == 0


def test_the_watchdog_hears_a_live_broker_and_no_frozen_one(
    start_broker: Callable[..., Broker], manager: Manager
) -> None:
    broker = start_broker(env={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "200000"})
    assert manager.next() == "READY=1"
    assert [manager.next() for _ in range(3)] == ["WATCHDOG=1"] * 3
    broker.process.send_signal(signal.SIGSTOP)
    manager.socket.settimeout(0.5)
    with pytest.raises(TimeoutError):
        for _ in range(100):  # what was sent before it froze
            manager.next()
    broker.process.send_signal(signal.SIGCONT)
    manager.socket.settimeout(WAIT_SECONDS)
    assert manager.next() == "WATCHDOG=1"


@pytest.mark.parametrize("watchdog", [{"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}])
def test_a_watchdog_of_another_process_or_without_a_time_hears_nothing(
    start_broker: Callable[..., Broker], manager: Manager, watchdog: dict[str, str]
) -> None:
    broker = start_broker(env={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "100000", **watchdog})
    assert manager.next() == "READY=1"
    manager.socket.settimeout(0.5)
    with pytest.raises(TimeoutError):
        manager.next()
    assert broker.stop() == 0


def test_a_broker_serves_although_its_manager_is_gone(
    start_broker: Callable[..., Broker], tmp_path: Path
) -> None:
    broker = start_broker(env={"NOTIFY_SOCKET": str(tmp_path / "gone")})
    wait_until(lambda: "the service manager cannot be told 'READY=1'" in broker.log.read_text())
    with Wire(broker.port):
        pass
    assert broker.stop() == 0
