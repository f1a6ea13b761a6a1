"""Signing in with one password or token, and keeping both secret."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.nats_py import connect
from tests.support.wire_client import Wire

PASSWORD = "pa55-wörd-$ecret"
TOKEN = "t0ken-$ecret"
VIOLATION = b"-ERR 'Authorization Violation'\r\n"


@pytest.fixture(scope="module")
def by_password(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    data = tmp_path_factory.mktemp("password") / "data"
    flags = ("--user", "ann", "--password", PASSWORD, "--log-level", "debug")
    broker = Broker(data, *flags)
    yield broker
    broker.end()


@pytest.fixture(scope="module")
def by_token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(
        tmp_path_factory.mktemp("token") / "data", "--log-level", "debug", env={"MQ9FAST_TOKEN": TOKEN}
    )
    yield broker
    broker.end()


def is_admitted(broker: Broker, options: dict[str, Any]) -> bool:
    with Wire(broker.port, options) as wire:
        assert wire.info["auth_required"] is True
        wire.send("PING\r\n")
        try:
            first = wire.line()
        except (EOFError, ConnectionError):
            return False
        if first == "PONG":
            return True
        assert first == "-ERR 'Authorization Violation'"
        assert wire.closed()
        return False


def test_right_password_is_admitted(by_password: Broker) -> None:
    assert is_admitted(by_password, {"user": "ann", "pass": PASSWORD})
    assert is_admitted(by_password, {"user": "ann", "pass": PASSWORD, "auth_token": "whatever"})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"user": "ann"},
        {"pass": PASSWORD},
        {"user": "ann", "pass": ""},
        {"user": "ann", "pass": PASSWORD + "x"},
        {"user": "ann", "pass": PASSWORD[:-1]},
        {"user": "Ann", "pass": PASSWORD},
        {"user": "", "pass": PASSWORD},
        {"user": PASSWORD, "pass": "ann"},
        {"auth_token": PASSWORD},
        {"user": None, "pass": None},
    ],
)
def test_wrong_or_missing_password_is_refused(by_password: Broker, options: dict[str, Any]) -> None:
    assert not is_admitted(by_password, options)


def test_right_token_is_admitted(by_token: Broker) -> None:
    assert is_admitted(by_token, {"auth_token": TOKEN})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"auth_token": ""},
        {"auth_token": TOKEN + " "},
        {"auth_token": TOKEN[:-1]},
        {"user": TOKEN},
        {"pass": TOKEN},
    ],
)
def test_wrong_or_missing_token_is_refused(by_token: Broker, options: dict[str, Any]) -> None:
    assert not is_admitted(by_token, options)


@pytest.mark.parametrize(
    "line", ["PING\r\n", "PUB a 1\r\nx\r\n", "SUB a 1\r\n", "PUB $mq9.AI.MAILBOX.CREATE 0\r\n\r\n"]
)
def test_operation_before_connect_is_an_authorization_violation(by_password: Broker, line: str) -> None:
    with Wire(by_password.port, None) as wire:
        wire.send(line)
        assert wire.closed()
        assert wire.unread == VIOLATION


def test_operations_after_a_refused_connect_are_ignored(by_password: Broker) -> None:
    with Wire(by_password.port, {"user": "ann", "pass": PASSWORD}) as spy:
        spy.sub(">")
        spy.ping()
        with Wire(by_password.port, None) as wire:
            wire.send('CONNECT {"user":"ann","pass":"no"}\r\nPUB a 1\r\nx\r\nCONNECT {"user":"ann","pass":"')
            wire.send(f'{PASSWORD}"}}\r\nPUB a 1\r\nx\r\n')
            assert wire.closed()
            assert wire.unread == VIOLATION
        spy.ping()
        assert spy.silent(0.03)


def test_client_that_sends_no_connect_is_closed_after_auth_timeout(
    start_broker: Callable[..., Broker],
) -> None:
    broker = start_broker("--token", TOKEN, "--auth-timeout", "1")
    with Wire(broker.port, None) as wire, Wire(broker.port, {"auth_token": TOKEN}) as known:
        assert wire.closed()
        assert wire.unread.lower() == b"-err 'authentication timeout'\r\n"
        known.ping()
        assert known.silent(0.3)
        known.ping()


def test_broker_without_credentials_admits_any_client(broker: Broker) -> None:
    for options in ({}, {"user": "x", "pass": "y"}, {"auth_token": "z"}):
        with Wire(broker.port, options) as wire:
            assert "auth_required" not in wire.info
            wire.ping()


def test_nats_py_signs_in(by_password: Broker, by_token: Broker) -> None:
    async def run() -> None:
        for broker, options in (
            (by_password, {"user": "ann", "password": PASSWORD}),
            (by_token, {"token": TOKEN}),
        ):
            client = await connect(broker.url, **options)
            assert (await client.request("$mq9.AI.MAILBOX.CREATE", b"{}")).data
            await client.close()

    asyncio.run(run())


def test_secrets_are_neither_logged_nor_stored(by_password: Broker, by_token: Broker) -> None:
    """Runs last: the tests above must not have left a secret in the log or the data directory."""
    for broker, secret in ((by_password, PASSWORD), (by_token, TOKEN)):
        with Wire(broker.port, None) as wire:
            wire.send('CONNECT {"pass":"' + secret + '","auth_token":"' + secret + "\r\n")
            assert wire.closed()
        broker.restart()
        for path in [broker.log, *(p for p in Path(broker.data_dir).rglob("*") if p.is_file())]:
            assert secret.encode() not in path.read_bytes(), path
