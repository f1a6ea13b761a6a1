"""Mailboxes expire by a clock that cannot be set: a jump of the wall clock neither ends nor prolongs them."""

import errno
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.broker import Broker
from tests.support.data_directory import pretend_reboot
from tests.support.faults.clocks import Clocks
from tests.support.faults.shim import Shim
from tests.support.mailbox import exists
from tests.support.waiting import wait_until
from tests.support.wire_client import Wire

HOUR = 3600
DAY = 24 * HOUR
YEAR = 365 * DAY
Starter = Callable[[], Broker]


@pytest.fixture
def clocks(tmp_path: Path) -> Clocks:
    return Clocks(tmp_path)


@pytest.fixture
def start(
    clocks: Clocks, tmp_path: Path, start_broker: Callable[..., Broker]
) -> Iterator[Callable[..., Broker]]:
    def start(*flags: str) -> Broker:
        return start_broker("--sync", "never", *flags, env=clocks.env, data_dir=tmp_path / "data")

    return start


def create_mailboxes(broker: Broker, *addresses: str, ttl: int = HOUR) -> None:
    """Create mailboxes with one message each."""
    with Wire(broker.port) as wire:
        for address in addresses:
            assert wire.create(name=address, ttl=ttl)["is_new"]
            assert wire.msg(address, "message_count") == {"msg_id": 0}


def message_count(broker: Broker, address: str) -> int:
    with Wire(broker.port) as wire:
        reply = wire.list(address)
    return 0 if "code" in reply else int(reply["total"])


def warnings(broker: Broker) -> list[str]:
    return re.findall(r"WARNING.*wall clock.*", broker.log.read_text())


@pytest.mark.parametrize("step", [10 * YEAR, DAY, -DAY, -10 * YEAR])
def test_setting_the_wall_clock_does_not_change_deadlines(start: Starter, clocks: Clocks, step: int) -> None:
    broker = start()
    create_mailboxes(broker, "box")
    clocks.step_wall(step)
    wait_until(lambda: len(warnings(broker)) == 1)
    with Wire(broker.port) as wire:
        # create_time is the time of the wall clock.
        (message,) = wire.list("box")["messages"]
        assert abs(message["create_time"] - clocks.wall) < 120
        assert wire.create(name="box") == {"mail_address": "box", "is_new": False}
        clocks.pass_time(HOUR - 120)
        wire.ping()
        assert exists(wire, "box")
        clocks.pass_time(180)
        wait_until(lambda: not exists(wire, "box"))
    assert len(warnings(broker)) == 1


@pytest.mark.parametrize("kill", [True, False])
def test_machine_without_a_clock_keeps_mailboxes_when_the_time_is_set(
    start: Starter, clocks: Clocks, kill: bool
) -> None:
    today = clocks.wall
    clocks.set_wall(100)
    broker = start()
    create_mailboxes(broker, "box")
    clocks.set_wall(today)
    wait_until(lambda: len(warnings(broker)) == 1)
    broker.restart(kill=kill)
    assert message_count(broker, "box") == 1
    # The machine boots again, and NTP has not set the clock yet.
    broker.stop()
    pretend_reboot(broker.data_dir)
    clocks.set_wall(50)
    broker.start()
    assert message_count(broker, "box") == 1
    assert "before the last saved time" in warnings(broker)[-1]
    clocks.set_wall(today + 60)
    wait_until(lambda: "was set from" in warnings(broker)[-1])
    broker.restart(kill=kill)
    assert message_count(broker, "box") == 1
    with Wire(broker.port) as wire:
        clocks.pass_time(HOUR + 60)
        wait_until(lambda: not exists(wire, "box"))


def test_clock_step_not_saved_because_of_a_power_cut_expires_no_mailbox(
    start: Starter, clocks: Clocks
) -> None:
    clocks.set_wall(100)
    broker = start()
    create_mailboxes(broker, "box")
    broker.kill()
    pretend_reboot(broker.data_dir)
    clocks.set_wall(time.time())
    broker.start()
    assert message_count(broker, "box") == 1
    assert "more than a year after the last saved time" in warnings(broker)[-1]


@pytest.mark.parametrize("step", [HOUR + 60, -HOUR, 2 * YEAR])
@pytest.mark.parametrize("kill", [True, False])
def test_clock_that_is_set_while_the_broker_is_down_expires_no_mailbox(
    start: Starter, clocks: Clocks, kill: bool, step: int
) -> None:
    """While the machine runs on, the time since it booted tells how long the broker was down."""
    broker = start()
    create_mailboxes(broker, "box")
    broker.kill() if kill else broker.stop()
    clocks.step_wall(step)
    broker.start()
    assert message_count(broker, "box") == 1
    assert warnings(broker) == []
    broker.stop()
    clocks.pass_time(HOUR + 60)
    broker.start()
    assert message_count(broker, "box") == 0


def test_clock_that_is_set_before_a_start_expires_no_mailbox_after_a_power_cut(
    tmp_path: Path, clocks: Clocks, start_broker: Callable[..., Broker]
) -> None:
    """A start saves the step before it serves: after the power cut, only the wall clock measures time."""
    data_dir = tmp_path / "data"
    shim = Shim(tmp_path, data_dir)
    broker = start_broker("--sync", "always", env=with_shim(clocks, shim), data_dir=data_dir)
    create_mailboxes(broker, "box")
    broker.stop()
    clocks.step_wall(DAY)
    broker.start()
    broker.kill()
    shim.cut_power()
    pretend_reboot(data_dir)
    broker.start()
    assert message_count(broker, "box") == 1
    assert warnings(broker) == []


@pytest.mark.parametrize("kill", [True, False])
def test_time_while_the_broker_is_down_counts(start: Starter, clocks: Clocks, kill: bool) -> None:
    broker = start()
    create_mailboxes(broker, "short")
    create_mailboxes(broker, "long", ttl=DAY)
    broker.kill() if kill else broker.stop()
    clocks.pass_time(HOUR + 60)
    broker.start()
    assert message_count(broker, "short") == 0
    assert message_count(broker, "long") == 1
    assert warnings(broker) == []


@pytest.mark.parametrize(("step", "relation"), [(-DAY, "before"), (2 * YEAR, "more than a year after")])
def test_implausible_wall_clock_expires_no_mailbox(
    start: Starter, clocks: Clocks, step: int, relation: str
) -> None:
    broker = start()
    create_mailboxes(broker, "box")
    broker.stop()
    pretend_reboot(broker.data_dir)
    clocks.step_wall(step)
    broker.start()
    (warning,) = warnings(broker)
    assert re.search(rf"the wall clock shows \d{{4}}-.*, which is {relation} the last saved time, ", warning)
    assert message_count(broker, "box") == 1
    # From here on its TTL runs.
    clocks.pass_time(HOUR + 60)
    wait_until(lambda: message_count(broker, "box") == 0)


def remove_file(file: Path) -> None:
    file.unlink()


def overwrite(file: Path) -> None:
    file.write_bytes(b"x" * file.stat().st_size)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:10])


def make_empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize("damage_file", [remove_file, overwrite, truncate, make_empty])
def test_start_without_the_saved_time_uses_the_newest_write(
    start: Starter, clocks: Clocks, damage_file: Callable[[Path], None]
) -> None:
    broker = start()
    create_mailboxes(broker, "short")
    create_mailboxes(broker, "long", ttl=DAY)
    broker.stop()
    damage_file(broker.data_dir / "mq9fast.clock")
    clocks.pass_time(HOUR + 60)
    broker.start()
    assert message_count(broker, "short") == 0
    assert message_count(broker, "long") == 1
    broker.stop()
    damage_file(broker.data_dir / "mq9fast.clock")
    clocks.set_wall(100)
    broker.start()
    assert message_count(broker, "long") == 1
    assert "before the last saved time" in warnings(broker)[-1]


def with_shim(clocks: Clocks, shim: Shim) -> dict[str, str]:
    """The environment of a broker whose clocks and files fail."""
    libraries = f"{clocks.env['LD_PRELOAD']} {shim.env['LD_PRELOAD']}"
    return {**clocks.env, **shim.env, "LD_PRELOAD": libraries}


def test_time_that_cannot_be_saved_shows_in_healthz(
    tmp_path: Path, clocks: Clocks, start_broker: Callable[..., Broker]
) -> None:
    shim = Shim(tmp_path)
    broker = start_broker("--monitor-port", "0", env=with_shim(clocks, shim))
    for call in ("write", "fsync"):
        with shim.failing(call, "mq9fast.clock", errno.EIO):
            # The broker saves a step of the clock at once.
            clocks.step_wall(HOUR)
            wait_until(lambda: "the time cannot be saved" in broker.health)
            create_mailboxes(broker, call, ttl=DAY)
        clocks.step_wall(HOUR)
        wait_until(lambda: not broker.health)
    broker.kill()
    clocks.step_wall(HOUR)
    with shim.failing("fsync", "mq9fast.clock", errno.EIO) as rule:
        broker.start()
        # It is saved again, and nothing that is saved without an fsync ends it.
        wait_until(lambda: rule.seen > 2)
        assert "the time cannot be saved" in broker.health
    wait_until(lambda: not broker.health)
    with shim.failing("write", "mq9fast.clock", errno.EIO):
        assert broker.stop() == 0
    assert "ERROR" in broker.log.read_text()
    assert "the time cannot be saved: " in broker.log.read_text()
    with shim.failing("read", "mq9fast.clock", errno.EIO):
        broker.start()
    assert (
        "the last saved time cannot be read, so the newest write in the store is used: "
        in broker.log.read_text()
    )
    assert message_count(broker, "fsync") == 1
    broker.stop()
    with (
        shim.failing("open", "mq9fast.clock", errno.EACCES),
        pytest.raises(AssertionError) as refused,
    ):
        broker.start()
    assert "cannot be used: " in str(refused.value)
    assert "mq9fast.clock cannot be opened: Permission denied" in str(refused.value)


def suspend(broker: Broker, clocks: Clocks, seconds: float, send: Callable[[], None]) -> None:
    """Suspend the process, as a machine is suspended. Meanwhile clients send, and time passes."""
    broker.process.send_signal(signal.SIGSTOP)
    wait_until(lambda: "T (stopped)" in Path(f"/proc/{broker.process.pid}/status").read_text())
    send()
    # Long enough for all of the broker's timers to be due.
    time.sleep(0.3)
    clocks.pass_time(seconds)
    broker.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("bulk", [0, 600_000])
def test_message_waiting_in_a_socket_renews_its_mailbox_after_a_suspension(
    start: Starter, clocks: Clocks, bulk: int
) -> None:
    """Also if it is behind data that takes several reads."""
    broker = start()
    with Wire(broker.port) as first, Wire(broker.port) as second:
        for _ in range(5):
            create_mailboxes(broker, "renewed", "created", "lost", ttl=2)
            renewals = f"PUB x {bulk}\r\n{'x' * bulk}\r\nPUB $mq9.AI.MAILBOX.MSG.renewed 1\r\nx\r\n"
            late = b'{"name":"created"}'
            second.socket.settimeout(10)

            def send(renewals: str = renewals, late: bytes = late) -> None:
                first.send(renewals)
                second.send(b"PUB $mq9.AI.MAILBOX.CREATE %d\r\n%b\r\n" % (len(late), late))

            suspend(broker, clocks, 3, send)
            wait_until(lambda: not exists(second, "lost"))
            assert first.list("renewed")["total"] == 2
            assert second.list("created")["total"] == 1
            clocks.pass_time(3)
            wait_until(lambda: not exists(second, "renewed") and not exists(second, "created"))


def test_busy_sender_does_not_delay_expiry_after_a_suspension(start: Starter, clocks: Clocks) -> None:
    broker = start()
    create_mailboxes(broker, "lost", ttl=2)
    with Wire(broker.port) as sender, Wire(broker.port) as wire:
        suspend(broker, clocks, 3, lambda: None)
        deadline = time.monotonic() + 60
        while exists(wire, "lost"):
            assert time.monotonic() < deadline
            sender.send("PUB x 1\r\nx\r\n" * 1000)
