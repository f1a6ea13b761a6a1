"""Where uvloop does not exist, asyncio's own loop serves as well."""

from collections.abc import Callable
from pathlib import Path

from tests.harness import Broker, Wire
from tests.webwire import WebWire


def test_the_broker_runs_without_uvloop(start_broker: Callable[..., Broker], tmp_path: Path) -> None:
    (tmp_path / "uvloop.py").write_text('raise ImportError("there is no uvloop")')
    broker = start_broker("--monitor-port", "0", "--ws-port", "0", env={"PYTHONPATH": str(tmp_path)})
    with Wire(broker.port) as wire, Wire(broker.port) as reader, WebWire(broker.ws_port) as web:
        wire.create(name="plain.loop")
        for number in range(3000):
            wire.pub("$mq9.AI.MAILBOX.MSG.plain.loop", f"{number}".rjust(400))
        wire.msg("plain.loop.critical", "first")
        reader.read_along("plain.loop")
        replayed = reader.messages(3001)
        assert replayed[0].payload == b"first"
        assert [int(message.payload) for message in replayed[1:]] == list(range(3000))
        wire.msg("plain.loop", "live")
        assert reader.message().payload == b"live"
        web.read_along("plain.loop")
        assert [message.msg_id for message in web.messages(3)] == [3000, 0, 1]
        assert wire.delete("plain.loop", 0) == {"deleted": True}
    assert broker.stop() == 0
