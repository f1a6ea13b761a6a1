"""Periodic work continues after a failure, and reports it."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

import mq9fast.network.connection
from mq9fast.config.settings import Settings
from mq9fast.health import Health
from mq9fast.periodic import Periodic, Step
from mq9fast.server.broker import Broker


async def wait_until(condition: Any) -> None:
    while not condition():  # noqa: ASYNC110 (the condition has no event)
        await asyncio.sleep(0.005)


def test_failing_step_runs_again_and_does_not_stop_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runs: list[str] = []
    errors: list[Exception] = [OSError("no answer")]

    def failing() -> None:
        runs.append("failing")
        if errors:
            raise errors[0]

    async def run() -> None:
        health = Health()
        steps = (Step("one", failing, health), Step("two", lambda: runs.append("two"), health))
        periodic = Periodic(0.005, *steps)
        await wait_until(lambda: len(runs) >= 20)
        assert runs[:4] == ["failing", "two"] * 2
        assert health.reasons == ["one failed: no answer"]
        assert len(caplog.records) == 1
        assert not caplog.records[0].exc_info
        errors.clear()
        await wait_until(lambda: health.ok)
        periodic.stop()
        count = len(runs)
        await asyncio.sleep(0.05)
        assert len(runs) == count

    asyncio.run(run())


def test_bug_in_a_step_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    def failing() -> None:
        raise KeyError("a bug")

    with caplog.at_level(logging.ERROR):
        step = Step("one", failing, Health())
        assert not step.run() and not step.run()
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_pings_and_the_write_deadline_continue_after_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        settings = Settings(
            port=0, monitor_port=-1, data_dir=str(tmp_path / "data"), ping_interval=0.02, write_deadline=0.2
        )
        broker = Broker(settings)
        await broker.start()
        seen: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: seen.append(str(what["exception"])))
        reader, writer = await asyncio.open_connection(*broker.address)
        await reader.readline()
        (connection,) = broker.connections.values()
        await _fail_once(monkeypatch, connection, "_ping_or_close")
        await wait_until(lambda: seen == ["no answer"])
        reader._buffer.clear()  # type: ignore[attr-defined]
        assert await reader.readuntil(b"PING\r\n")

        real = mq9fast.network.connection.unacked_bytes
        answers = [OSError("no count")]

        def unacked(socket: Any) -> int:
            if answers:
                raise answers.pop()
            return real(socket)

        monkeypatch.setattr(mq9fast.network.connection, "unacked_bytes", unacked)
        writer.write(b"CONNECT {}\r\nSUB a 1\r\n" + b"PUB a 1000000\r\n" + b"x" * 1000000 + b"\r\n")
        for _ in range(40):
            writer.write(b"PUB a 1000000\r\n" + b"x" * 1000000 + b"\r\n")
        await wait_until(lambda: not broker.connections)
        assert "no count" in seen
        writer.close()
        await broker.stop()

    asyncio.run(run())


async def _fail_once(monkeypatch: pytest.MonkeyPatch, thing: object, name: str) -> None:
    real = getattr(thing, name)

    def failing() -> Any:
        monkeypatch.setattr(thing, name, real)
        raise OSError("no answer")

    monkeypatch.setattr(thing, name, failing)
