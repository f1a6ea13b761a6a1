"""Which users may subscribe to the events of a mailbox: those who have the permission for this subject."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.broker import Broker
from tests.support.wire_client import MAILBOX, Wire

EVENT = f"{MAILBOX}EVENT."
CONFIG = f"""
[[users]]
user = "orchestrator"
password = "secret"
permissions.subscribe = ["{EVENT}worker.a", "{EVENT}worker.b.*"]

[[users]]
user = "reader"
password = "secret"
permissions.subscribe = "{MAILBOX}MSG.>"

[[users]]
user = "denied"
password = "secret"
permissions.subscribe = {{ deny = ["{EVENT}worker.a.*"] }}
"""


@pytest.mark.parametrize(
    ("user", "tail", "allowed"),
    [
        ("orchestrator", "worker.a", True),
        ("orchestrator", "worker.a.*", False),
        ("orchestrator", "worker.b", False),
        ("orchestrator", "worker.b.*", True),
        ("orchestrator", "worker.c", False),
        ("reader", "worker.a", False),
        ("denied", "worker.a", True),
        ("denied", "worker.a.*", False),
    ],
)
def test_permission_for_events(
    start_broker: Callable[..., Broker], tmp_path: Path, user: str, tail: str, allowed: bool
) -> None:
    (tmp_path / "mq9.toml").write_text(CONFIG)
    broker = start_broker("--config", str(tmp_path / "mq9.toml"))
    with Wire(broker.port, {"user": user, "pass": "secret"}) as wire:
        wire.sub(EVENT + tail)
        if allowed:
            assert wire.message().json == {"event": "absent"}
        else:
            assert wire.line() == f"-ERR 'Permissions Violation for Subscription to \"{EVENT}{tail}\"'"
