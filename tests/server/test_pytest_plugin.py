"""The fixtures that mq9fast gives to the tests of programs that use it."""

import pytest

USER_TESTS = """
import asyncio
import socket

import pytest


def say(broker, *lines):
    with socket.create_connection(("127.0.0.1", broker.port)) as sock:
        sock.sendall("".join(line + "\\r\\n" for line in ("CONNECT {}", *lines, "PING")).encode())
        got = b""
        while b"PONG" not in got:
            got += sock.recv(4096)
    return got


def test_one(mq9_broker, mq9, record_property):
    assert mq9.url == mq9_broker.url
    assert mq9.address("tasks").endswith(".tasks")
    assert b"mq9" in say(mq9_broker)


@pytest.fixture(scope="session")
def seen():
    return []


@pytest.mark.parametrize("number", [1, 2])
def test_addresses_are_fresh(mq9, seen, number):
    assert mq9.address("a") not in seen
    seen.append(mq9.address("a"))


def test_settings_may_be_overridden(mq9_broker):
    assert b'"server_name":"mine"' in say(mq9_broker).replace(b" ", b"")
"""
SETTINGS = """
import pytest


@pytest.fixture(scope="session")
def mq9_settings():
    return {"sync": "never", "server_name": "mine"}
"""


def test_tests_of_users_get_a_real_broker(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(SETTINGS)
    pytester.makepyfile(USER_TESTS)
    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=4)


def test_the_plugin_loads_nothing_until_it_is_used(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_nothing_is_loaded(request):
            assert request.config.pluginmanager.has_plugin("mq9fast")
            packages = ("mq9fast", "uvloop", "msgspec", "rocksdict", "nats")
            loaded = [name for name in sys.modules if name.partition(".")[0] in packages]
            assert sorted(loaded) == ["mq9fast", "mq9fast.pytest_plugin", "mq9fast.version"]
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_the_fixtures_are_listed_with_a_line_of_help(pytester: pytest.Pytester) -> None:
    listed = pytester.runpytest_subprocess("--fixtures", "-p", "no:cacheprovider").stdout.str()
    assert "mq9_broker [session scope]" in listed
    assert "A broker for all tests of the session" in listed
