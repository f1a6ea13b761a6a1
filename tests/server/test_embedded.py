"""`mq9fast.Broker`: a broker inside another program."""

import asyncio
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import typing
import urllib.request
from pathlib import Path

import pytest

import mq9fast
from mq9fast.config.settings import SETTINGS
from mq9fast.config.sources import FILE_ONLY
from mq9fast.server.keywords import SettingsKeywords
from tests.support.nats_py import connect
from tests.support.waiting import START_SECONDS, WAIT_SECONDS
from tests.support.wire_client import Wire

# Settings of a process of its own.
NOT_EMBEDDED = {"log_level", "log_file", "log_format", "pid_file", "ports_file_dir", "lame_duck_duration"}
NOT_EMBEDDED |= {row.name for row in SETTINGS if row.name.startswith(("cluster_", "node_"))}


def state_of_the_process() -> list[object]:
    return [
        [signal.getsignal(number) for number in signal.valid_signals()],
        signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        resource.getrlimit(resource.RLIMIT_NOFILE),
        sys.getswitchinterval(),
        list(logging.root.handlers),
        dict(os.environ),
        sys.unraisablehook,
        threading.excepthook,
        {thread.name for thread in threading.enumerate()},
    ]


def test_a_block_runs_a_broker_in_a_thread() -> None:
    with mq9fast.Broker() as broker:
        directory = Path(broker.data_dir)
        assert directory.is_dir()
        assert broker.url == f"nats://127.0.0.1:{broker.port}"
        assert (broker.ws_url, broker.monitor_url) == (None, None)
        with Wire(broker.port) as wire:
            wire.create(name="a")
            assert wire.msg("a", "hello") == {"msg_id": 0}
    assert not directory.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", broker_port(broker, wire)), WAIT_SECONDS)


def broker_port(broker: mq9fast.Broker, wire: Wire) -> int:
    """The port that the ended broker had: the broker itself does not tell it any more."""
    with pytest.raises(RuntimeError, match="not running"):
        _ = broker.port
    return int(wire.info["port"])


def test_a_given_directory_is_kept(tmp_path: Path) -> None:
    for msg_id in range(2):
        with mq9fast.Broker(data_dir=tmp_path / "data") as broker, Wire(broker.port) as wire:
            wire.create(name="a")
            assert wire.msg("a", "hello") == {"msg_id": msg_id}
    assert (tmp_path / "data").is_dir()


def test_two_at_once_in_one_event_loop() -> None:
    async def use_both() -> None:
        async with mq9fast.Broker() as one, mq9fast.Broker(auto_create=True) as other:
            assert one.url != other.url
            for broker, reply in ((one, b'"mailbox_not_found"'), (other, b'{"msg_id":0}')):
                client = await connect(broker.url)
                assert reply in (await client.request("$mq9.AI.MAILBOX.MSG.new", b"x")).data
                await client.close()

    asyncio.run(use_both())


def test_two_at_once_in_threads_within_an_event_loop() -> None:
    async def use_both() -> None:
        with mq9fast.Broker() as one, mq9fast.Broker() as other:
            for broker in (one, other):
                client = await connect(broker.url)
                await client.close()

    asyncio.run(use_both())


def test_the_process_stays_as_it_was() -> None:
    before = state_of_the_process()
    with mq9fast.Broker():
        assert state_of_the_process()[:-1] == before[:-1]
    assert state_of_the_process() == before


def test_it_reads_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MQ9FAST_PORT", "x")
    with mq9fast.Broker() as broker:
        assert broker.port


def test_urls_of_the_other_ports() -> None:
    with mq9fast.Broker(host="0.0.0.0", ws_port=0, monitor_port=0) as broker:
        assert broker.url == f"nats://127.0.0.1:{broker.port}"
        assert broker.ws_url is not None and broker.ws_url.startswith("ws://127.0.0.1:")
        assert broker.console_url == broker.ws_url.replace("ws:", "http:") + "/"
        with urllib.request.urlopen(f"{broker.monitor_url}/healthz", timeout=WAIT_SECONDS) as answer:
            assert b"ok" in answer.read()


def test_console_url_is_none_without_the_console() -> None:
    with mq9fast.Broker(ws_port=0, console=False) as broker:
        assert broker.ws_url is not None and broker.console_url is None


def test_users_are_given_as_in_the_file() -> None:
    users = [{"user": "anna", "password": "secret", "permissions": {"publish": ["a"]}}]
    with (
        mq9fast.Broker(users=users) as broker,
        Wire(broker.port, {"user": "anna", "pass": "secret"}) as wire,
    ):
        wire.ping()


def test_a_port_in_use_is_an_exception() -> None:
    before = {thread.name for thread in threading.enumerate()}
    with mq9fast.Broker() as broker:
        taken = mq9fast.Broker(port=broker.port)
        for _ in range(2):
            with pytest.raises(mq9fast.StartError, match="another process uses this port"), taken:
                pass

        async def start() -> None:
            async with taken:
                pass

        with pytest.raises(mq9fast.StartError, match="another process uses this port"):
            asyncio.run(start())
    assert {thread.name for thread in threading.enumerate()} == before


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"prot": 1}, "unknown setting 'prot': did you mean port?"),
        ({"port": "x"}, "port, given by a keyword, must be a whole number from 0 to 65535"),
        ({"users": [{"user": 1}]}, "users, given by a keyword, is not valid"),
        ({"user": "anna"}, "user needs password, which is not set"),
    ],
)
def test_a_wrong_setting_is_an_exception(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(mq9fast.SettingsError, match=sentence):
        mq9fast.Broker(**settings)


def test_one_broker_runs_once_at_a_time() -> None:
    broker = mq9fast.Broker()
    with broker, pytest.raises(RuntimeError, match="running already"), broker:
        pass
    with broker:
        assert broker.port


def test_an_error_in_the_block_is_raised_and_ends_the_broker() -> None:
    with pytest.raises(ZeroDivisionError), mq9fast.Broker() as broker:
        directory = Path(broker.data_dir)
        _ = 1 / 0
    assert not directory.exists()


def test_the_keywords_are_the_settings() -> None:
    keywords = set(typing.get_type_hints(SettingsKeywords))
    assert keywords == {row.name for row in SETTINGS} - NOT_EMBEDDED | set(FILE_ONLY)


def test_importing_the_package_loads_nothing() -> None:
    code = (
        "import sys; import mq9fast; assert 'Broker' in dir(mq9fast)\n"
        "names = ('mq9fast', 'asyncio', 'importlib.metadata', 'msgspec', 'uvloop', 'rocksdict', 'nats')\n"
        "print(sorted(name for name in sys.modules if name.startswith(names)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=START_SECONDS)
    assert ran.stdout == "['mq9fast', 'mq9fast.version']\n"


def test_type_checkers_know_the_exports(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import mq9fast\n"
        "with mq9fast.Broker(port=0, sync='never') as broker:\n"
        "    reveal_type(broker.url)\n"
        "mq9fast.Broker(sync='sometimes')\n"
        "mq9fast.Broker(prot=0)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", program],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    notes = [line.partition(": ")[2] for line in ran.stdout.splitlines()]
    assert 'note: Revealed type is "str"' in notes[0].replace("builtins.", "")
    assert 'expected "Literal' in notes[1] and 'Unexpected keyword argument "prot"' in notes[2]
    assert len([note for note in notes if note.startswith("error")]) == 2, ran.stdout


def test_a_node_of_a_cluster_is_not_embedded() -> None:
    with pytest.raises(mq9fast.StartError, match="a process of its own"):
        mq9fast.Broker(cluster_log="nats://a", node_name="n1", cluster_log_monitor="http://a")
