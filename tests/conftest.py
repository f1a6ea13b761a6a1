"""Fixtures for all tests: a broker that the tests of a module share, or brokers that one test starts."""

import itertools
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.broker import HAS_LOG, Broker
from tests.support.certificates import Certificates
from tests.support.mailbox import Connect
from tests.support.not_on_log import reason_not_on_log
from tests.support.wire_client import MAILBOX, Wire
from tests.support.worker_memory import give_back_memory, use_one_heap

use_one_heap()
pytest_plugins = ["pytester"]

# A shell starts background jobs with SIGINT ignored. Programs that tests start would ignore it too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Generated tests are the same in every run, and have no deadline: the machine may be busy.
settings.register_profile(
    "mq9fast", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("mq9fast")

# A file system of its own.
SHARED_MEMORY = Path("/dev/shm")

_names = itertools.count()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items if HAS_LOG else ():
        reason = reason_not_on_log(item.nodeid)
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def standbys_agree() -> Iterator[None]:
    """With a replicated log (`make test-log`): after each test, each standby has the rows of its owner."""
    yield
    for broker in list(Broker.running):
        broker.check_standby()


@pytest.fixture(scope="module", autouse=True)
def memory_returns() -> Iterator[None]:
    yield
    give_back_memory()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker with default settings, shared by the tests of a module."""
    broker = Broker(tmp_path_factory.mktemp("broker") / "data")
    yield broker
    broker.end()


@pytest.fixture
def start_broker(tmp_path: Path) -> Iterator[Callable[..., Broker]]:
    """Start a broker with flags: start_broker("--sync", "never")."""
    brokers: list[Broker] = []

    def start(*flags: str, data_dir: Path | None = None, env: dict[str, str] | None = None) -> Broker:
        broker = Broker(data_dir or tmp_path / f"data{len(brokers)}", *flags, env=env)
        brokers.append(broker)
        return broker

    yield start
    for broker in brokers:
        broker.end()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def wire(broker: Broker) -> Iterator[Wire]:
    """A connection to the module's broker."""
    with Wire(broker.port) as wire:
        yield wire


@pytest.fixture
def address() -> str:
    """An address that no other test uses."""
    return f"test.m{next(_names)}"


@pytest.fixture
def member(broker: Broker, address: str) -> Iterator[Connect]:
    """Connect a member of a queue group of the mailbox: member(queue='g', tail='', unsub_after=0)."""
    wires: list[Wire] = []

    def connect(queue: str = "g", tail: str = "", unsub_after: int = 0) -> Wire:
        wire = Wire(broker.port)
        wires.append(wire)
        end = f"UNSUB 1 {unsub_after}\r\n" if unsub_after else ""
        wire.send(f"SUB {MAILBOX}MSG.{address}{tail} {queue} 1\r\n{end}")
        wire.ping()
        return wire

    yield connect
    for wire in wires:
        wire.close()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A directory on another file system than `tmp_path`."""
    if not SHARED_MEMORY.is_dir() or SHARED_MEMORY.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("/dev/shm is no file system of its own here")
    path = Path(tempfile.mkdtemp(dir=SHARED_MEMORY, prefix="mq9fast-"))
    yield path
    shutil.rmtree(path)
