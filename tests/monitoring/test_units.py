"""Times and durations in nats-server's notation."""

import pytest

from mq9fast.monitoring.units import duration, timestamp, uptime


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (0, "0s"),
        (59, "59s"),
        (60, "1m0s"),
        (3725, "1h2m5s"),
        (86400, "1d0h0m0s"),
        (365 * 86400 + 86400 + 3600, "1y1d1h0m0s"),
    ],
)
def test_uptime(seconds: int, text: str) -> None:
    assert uptime(seconds) == text


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"),
        (999, "999ns"),
        (1_000, "1µs"),
        (840_000, "840µs"),
        (1_500_000, "1.5ms"),
        (1_000_001, "1.000001ms"),
        (1_000_000_000, "1s"),
        (60_250_000_000, "1m0.25s"),
        (3_600_000_000_000, "1h0m0s"),
    ],
)
def test_duration(ns: int, text: str) -> None:
    assert duration(ns) == text


def test_timestamp() -> None:
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"
    assert timestamp(1_795_416_071_912) == "2026-11-23T06:41:11.912Z"
