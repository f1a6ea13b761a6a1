"""Mailboxes live by a clock that nobody sets: a wall clock that jumps ends none, and keeps none alive."""

import errno
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.broker import Broker
from tests.support.faults.clocks import Clocks
from tests.support.faults.shim import Shim
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


def lives(wire: Wire, address: str) -> bool:
    return "code" not in wire.list(address)


def fill(broker: Broker, *addresses: str, ttl: int = HOUR) -> None:
    """Make mailboxes with a message that nobody reads."""
    with Wire(broker.port) as wire:
        for address in addresses:
            assert wire.create(name=address, ttl=ttl)["is_new"]
            assert wire.msg(address, "unread") == {"msg_id": 0}


def unread(broker: Broker, address: str) -> int:
    with Wire(broker.port) as wire:
        reply = wire.list(address)
    return 0 if "code" in reply else int(reply["total"])


def warnings(broker: Broker) -> list[str]:
    return re.findall(r"WARNING.*wall clock.*", broker.log.read_text())


@pytest.mark.parametrize("step", [10 * YEAR, DAY, -DAY, -10 * YEAR])
def test_a_wall_clock_that_is_set_ends_no_mailbox_and_keeps_none(
    start: Starter, clocks: Clocks, step: int
) -> None:
    broker = start()
    fill(broker, "box")
    clocks.step_wall(step)
    wait_until(lambda: len(warnings(broker)) == 1)
    with Wire(broker.port) as wire:
        # What people read is the time on the wall.
        (message,) = wire.list("box")["messages"]
        assert abs(message["create_time"] - clocks.wall) < 120
        assert wire.create(name="box") == {"mail_address": "box", "is_new": False}
        clocks.pass_time(HOUR - 120)
        wire.ping()
        assert lives(wire, "box")
        clocks.pass_time(180)
        wait_until(lambda: not lives(wire, "box"))
    assert len(warnings(broker)) == 1


@pytest.mark.parametrize("kill", [True, False])
def test_a_device_without_a_clock_keeps_its_mail_when_it_learns_the_time(
    start: Starter, clocks: Clocks, kill: bool
) -> None:
    today = clocks.wall
    clocks.set_wall(100)
    broker = start()
    fill(broker, "box")
    clocks.set_wall(today)
    wait_until(lambda: len(warnings(broker)) == 1)
    broker.restart(kill=kill)
    assert unread(broker, "box") == 1
    # It boots again, before NTP.
    broker.stop()
    clocks.set_wall(50)
    broker.start()
    assert unread(broker, "box") == 1
    assert "before the last saved time" in warnings(broker)[-1]
    clocks.set_wall(today + 60)
    wait_until(lambda: "was set from" in warnings(broker)[-1])
    broker.restart(kill=kill)
    assert unread(broker, "box") == 1
    with Wire(broker.port) as wire:
        clocks.pass_time(HOUR + 60)
        wait_until(lambda: not lives(wire, "box"))


def test_a_step_that_a_kill_keeps_from_being_noted_ends_no_mailbox(start: Starter, clocks: Clocks) -> None:
    clocks.set_wall(100)
    broker = start()
    fill(broker, "box")
    broker.kill()
    clocks.set_wall(time.time())
    broker.start()
    assert unread(broker, "box") == 1
    assert "more than a year after the last saved time" in warnings(broker)[-1]


@pytest.mark.parametrize("kill", [True, False])
def test_the_time_a_broker_is_down_counts(start: Starter, clocks: Clocks, kill: bool) -> None:
    broker = start()
    fill(broker, "short")
    fill(broker, "long", ttl=DAY)
    broker.kill() if kill else broker.stop()
    clocks.pass_time(HOUR + 60)
    broker.start()
    assert unread(broker, "short") == 0
    assert unread(broker, "long") == 1
    assert warnings(broker) == []


@pytest.mark.parametrize(("moved", "said"), [(-DAY, "before"), (2 * YEAR, "more than a year after")])
def test_an_implausible_wall_clock_ends_no_mailbox(
    start: Starter, clocks: Clocks, moved: int, said: str
) -> None:
    broker = start()
    fill(broker, "box")
    broker.stop()
    clocks.step_wall(moved)
    broker.start()
    (warning,) = warnings(broker)
    assert re.search(rf"the wall clock shows \d{{4}}-.*, which is {said} the last saved time, ", warning)
    assert unread(broker, "box") == 1
    # From here on, its time goes by.
    clocks.pass_time(HOUR + 60)
    wait_until(lambda: unread(broker, "box") == 0)


def lose(note: Path) -> None:
    note.unlink()


def damage(note: Path) -> None:
    note.write_bytes(b"x" * note.stat().st_size)


def cut(note: Path) -> None:
    note.write_bytes(note.read_bytes()[:10])


def empty(note: Path) -> None:
    note.write_bytes(b"")


@pytest.mark.parametrize("harm", [lose, damage, cut, empty])
def test_without_its_note_a_start_goes_by_the_newest_write(
    start: Starter, clocks: Clocks, harm: Callable[[Path], None]
) -> None:
    broker = start()
    fill(broker, "short")
    fill(broker, "long", ttl=DAY)
    broker.stop()
    harm(broker.data_dir / "mq9fast.clock")
    clocks.pass_time(HOUR + 60)
    broker.start()
    assert unread(broker, "short") == 0
    assert unread(broker, "long") == 1
    broker.stop()
    harm(broker.data_dir / "mq9fast.clock")
    clocks.set_wall(100)
    broker.start()
    assert unread(broker, "long") == 1
    assert "before the last saved time" in warnings(broker)[-1]


def test_a_note_that_cannot_be_written_shows_in_healthz_until_it_can(
    tmp_path: Path, clocks: Clocks, start_broker: Callable[..., Broker]
) -> None:
    shim = Shim(tmp_path)
    both = {**clocks.env, **shim.env, "LD_PRELOAD": f"{clocks.env['LD_PRELOAD']} {shim.env['LD_PRELOAD']}"}
    broker = start_broker("--monitor-port", "0", env=both)
    for call in ("write", "fsync"):
        with shim.failing(call, "mq9fast.clock", errno.EIO):
            # A step is noted at once.
            clocks.step_wall(HOUR)
            wait_until(lambda: "the time cannot be saved" in broker.health)
            fill(broker, call, ttl=DAY)
        clocks.step_wall(HOUR)
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
    assert unread(broker, "fsync") == 1
    broker.stop()
    with (
        shim.failing("open", "mq9fast.clock", errno.EACCES),
        pytest.raises(AssertionError) as refused,
    ):
        broker.start()
    assert "cannot be used: " in str(refused.value)
    assert "mq9fast.clock cannot be opened: Permission denied" in str(refused.value)


def stall(broker: Broker, clocks: Clocks, seconds: float, send: Callable[[], None]) -> None:
    """Stop the process, as a frozen machine does; meanwhile clients send and time passes."""
    broker.process.send_signal(signal.SIGSTOP)
    wait_until(lambda: "T (stopped)" in Path(f"/proc/{broker.process.pid}/status").read_text())
    send()
    # So long that all of the broker's timers are due.
    time.sleep(0.3)
    clocks.pass_time(seconds)
    broker.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("bulk", [0, 600_000])
def test_what_waits_in_a_socket_renews_its_mailbox_after_a_stall(
    start: Starter, clocks: Clocks, bulk: int
) -> None:
    """Also behind what takes several reads, and from a client that was not accepted yet."""
    broker = start()
    with Wire(broker.port) as first, Wire(broker.port) as second:
        for _ in range(5):
            fill(broker, "renewed", "created", "lost", ttl=2)
            renewals = f"PUB x {bulk}\r\n{'x' * bulk}\r\nPUB $mq9.AI.MAILBOX.MSG.renewed 1\r\nx\r\n"
            late = b'{"name":"created"}'
            second.socket.settimeout(10)

            def send(renewals: str = renewals, late: bytes = late) -> None:
                first.send(renewals)
                second.send(b"PUB $mq9.AI.MAILBOX.CREATE %d\r\n%b\r\n" % (len(late), late))

            stall(broker, clocks, 3, send)
            wait_until(lambda: not lives(second, "lost"))
            assert first.list("renewed")["total"] == 2
            assert second.list("created")["total"] == 1
            clocks.pass_time(3)
            wait_until(lambda: not lives(second, "renewed") and not lives(second, "created"))


def test_a_busy_sender_does_not_keep_mailboxes_alive_after_a_stall(start: Starter, clocks: Clocks) -> None:
    broker = start()
    fill(broker, "lost", ttl=2)
    with Wire(broker.port) as sender, Wire(broker.port) as wire:
        stall(broker, clocks, 3, lambda: None)
        deadline = time.monotonic() + 60
        while lives(wire, "lost"):
            assert time.monotonic() < deadline
            sender.send("PUB x 1\r\nx\r\n" * 1000)
