"""A client that sends to one that does not read is stalled, and monitoring counts it, as with nats-server."""

import re
from pathlib import Path

import pytest

from tests.support.broker import Broker
from tests.support.monitoring import monitor_port, read
from tests.support.nats_server import NATS_SERVER, NatsServer
from tests.support.wire_client import Wire
from tests.wire.script import SERVERS

# nats-server stalls senders at three quarters of this, and mq9fast at most at that.
MAX_PENDING = "1048576"
MESSAGE = b"x" * 16384


@pytest.mark.parametrize("name", SERVERS)
def test_stalls_are_counted(name: str, tmp_path: Path) -> None:
    server: Broker | NatsServer
    if name == "mq9fast":
        server = Broker(tmp_path / "data", "--max-pending", MAX_PENDING, "--monitor-port", "0")
        http_port = monitor_port(server)
    else:
        if NATS_SERVER is None:
            pytest.skip("nats-server is not installed")
        server = NatsServer(tmp_path, {"max_pending": MAX_PENDING, "http": "127.0.0.1:-1"})
        found = re.search(r"http monitor on 127.0.0.1:(\d+)", server.log.read_text())
        assert found is not None
        http_port = int(found[1])
    try:
        assert read(http_port, "/varz")["stalled_clients"] == 0
        with Wire(server.port, {"name": "reader"}) as reader, Wire(server.port, {"name": "sender"}) as sender:
            reader.sub("a")
            reader.ping()
            assert "stalls" not in read(http_port, "/connz")["connections"][0]
            while read(http_port, "/varz")["stalled_clients"] == 0:
                for _ in range(8):
                    sender.pub("a", MESSAGE)
                sender.ping()
            page = read(http_port, "/connz?state=any")
            stalls = {each["name"]: each.get("stalls", 0) for each in page["connections"]}
            assert stalls["reader"] > 0
            assert stalls["sender"] == 0
    finally:
        server.end()
