"""Message traces: mq9fast and nats-server send the same events to Nats-Trace-Dest."""

import asyncio
import gzip
import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.nats_py import connect as connect_client
from tests.support.nats_server import NATS_SERVER, NatsServer
from tests.support.waiting import WAIT_SECONDS
from tests.support.wire_client import Message, Wire

USERS = Path(__file__).with_name("users.toml")
DEST = b"Nats-Trace-Dest: trace.here\r\n"
ONLY = b"Nats-Trace-Only: true\r\n"
# The sender, the subject, the headers, and whether there is a reply subject.
MESSAGES: dict[str, tuple[str, str, bytes, bool]] = {
    "delivered": ("reader", "a.b", DEST, False),
    "only traced": ("reader", "a.b", DEST + ONLY, False),
    "1 is true": ("reader", "a.b", DEST + b"Nats-Trace-Only: 1\r\n", False),
    "On is true": ("reader", "a.b", DEST + b"Nats-Trace-Only: On\r\n", False),
    "yes is not true": ("reader", "a.b", DEST + b"Nats-Trace-Only: yes\r\n", False),
    "only traced, to nowhere": ("reader", "a.b", ONLY, False),
    "an empty destination": ("reader", "a.b", b"Nats-Trace-Dest: \r\n" + ONLY, False),
    "names in small letters": ("reader", "a.b", DEST.lower() + ONLY, False),
    "only in small letters": ("reader", "a.b", DEST + ONLY.lower(), False),
    "blanks around": ("reader", "a.b", b"Nats-Trace-Dest:   trace.here  \r\n", False),
    "a blank before the colon": ("reader", "a.b", b"Nats-Trace-Dest : trace.here\r\n", False),
    "names that begin like it": (
        "reader",
        "a.b",
        b"Nats-Trace-Destiny: x\r\nX-Nats-Trace-Dest: y\r\n",
        False,
    ),
    "behind names that begin like it": ("reader", "a.b", b"X-Nats-Trace-Dest: y\r\n" + DEST, False),
    "two destinations": ("reader", "a.b", DEST + b"Nats-Trace-Dest: trace.there\r\n", False),
    "a wildcard as destination": ("reader", "a.b", b"Nats-Trace-Dest: trace.*\r\n", False),
    "no subject as destination": ("reader", "a.b", b"Nats-Trace-Dest: trace..here\r\n", False),
    "headers": ("reader", "a.b", DEST + b"b: 1\r\nB:  2 \r\na: 3\r\nb: 4\r\nempty:\r\n", False),
    "headers past ASCII": ("reader", "a.b", DEST + "é: ü<&>\r\n".encode() + b"not-utf8: \xff\r\n", False),
    "no echo": ("no-echo", "a.b", DEST, False),
    "denied to a subscription": ("reader", "admin.hidden", DEST, False),
    "denied to a group": ("reader", "admin.secret", DEST, False),
    "may not be published": ("strict", "only.that", DEST.replace(b"trace.here", b"only.this"), False),
    "the trace may not be published": ("strict", "only.this", DEST, False),
    "neither may be published": ("strict", "only.that", DEST, False),
    "a reserved subject": ("reader", "_GR_.a", DEST, False),
    "a reserved destination": ("reader", "a.b", b"Nats-Trace-Dest: _GR_.a\r\n", False),
    "no subscriber": ("reader", "nobody", DEST, True),
    "no subscriber, only traced": ("reader", "nobody", DEST + ONLY, True),
    "had its last message": ("reader", "once", DEST + ONLY, False),
    "an invalid subject": ("reader", "a..b", DEST, False),
    "its own destination": ("reader", "trace.here", DEST, False),
    "verbose": ("talker", "a.b", DEST + ONLY, False),
    "verbose, not to be published": ("talker", "_GR_.a", DEST, False),
}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Any:
    directory = tmp_path_factory.mktemp("trace")
    running: dict[str, Broker | NatsServer] = {
        "mq9fast": Broker(directory / "data", "--config", str(USERS), "--max-payload", "2000")
    }
    if NATS_SERVER is not None:
        running["nats-server"] = NatsServer(directory, {"config": str(USERS), "max_payload": "2000"})
    yield running
    for server in running.values():
        server.end()


def connect(stack: ExitStack, port: int, user: str, name: str, **options: Any) -> Wire:
    return stack.enter_context(Wire(port, {"user": user, "pass": user, "name": name, **options}))


def events_of(message: Message, cids: dict[int, str]) -> dict[str, Any]:
    """A trace report without the fields that differ in each run."""
    trace: dict[str, Any] = json.loads(message.payload)
    assert {name: type(trace["server"][name]) for name in ("name", "host", "id", "ver", "seq", "time")}
    assert trace["server"]["jetstream"] is False and trace["server"]["flags"] == 0
    for event in trace["events"]:
        assert event.pop("ts").endswith("Z")
        event["cid"] = cids[event["cid"]]
    trace["events"][1:] = sorted(trace["events"][1:], key=str)
    trace["server"] = sorted(set(trace["server"]) - {"feature_flags"})
    return trace


def received_by(wire: Wire) -> bytes:
    """Everything that a client received so far, except PING."""
    wire.send("PING\r\n")
    while b"PONG\r\n" not in wire.unread:
        wire.receive(WAIT_SECONDS)
    received = bytes(wire.unread).replace(b"PING\r\n", b"").replace(b"PONG\r\n", b"")
    wire.unread.clear()
    return received


def play(port: int, name: str, messages: int = 0) -> tuple[list[Any], dict[str, bytes], int]:
    """Send a message twice. Returns its traces, what each client received, and the listener's messages.

    The last is a count. The listener waits for `messages` of them: nats-server sends traces late.
    """
    sender, subject, headers, requested = MESSAGES[name]
    with ExitStack() as stack:
        listener = connect(stack, port, "free", "listener")
        clients = {
            "reader": connect(stack, port, "free", "reader"),
            "no-echo": connect(stack, port, "gina", "", echo=False),
            "strict": connect(stack, port, "cleo", "strict"),
            "talker": connect(stack, port, "free", "talker", verbose=True),
        }
        listener.send("SUB trace.> 1\r\nSUB only.this 2\r\n")
        clients["reader"].send("SUB a.* 1\r\nSUB once 2\r\nUNSUB 2 1\r\nSUB inbox 3\r\n")
        clients["no-echo"].send("SUB a.> 1\r\nSUB *.b q 2\r\nSUB admin.* 3\r\nSUB admin.* workers 4\r\n")
        for wire in (listener, *clients.values()):
            received_by(wire)
        names = {wire.info["client_id"]: name for name, wire in {**clients, "listener": listener}.items()}
        for _ in range(2):
            clients[sender].pub(
                subject, "hello", "inbox" if requested else "", b"NATS/1.0\r\n%s\r\n" % headers
            )
        received = {sender: received_by(clients[sender])}
        received |= {name: received_by(wire) for name, wire in clients.items() if name != sender}
        listener.received += listener.messages(messages)
        listener.ping()
        traces = [it for it in listener.received if it.payload.startswith(b"{")]
        assert all(it.subject == "trace.here" or sender == "strict" for it in traces)
        received["listener"] = b"".join(it.payload for it in listener.received if it not in traces)
        return [events_of(it, names) for it in traces], received, len(listener.received)


@pytest.mark.parametrize("name", MESSAGES)
def test_traces_equal_those_of_nats_server(servers: dict[str, Any], name: str) -> None:
    ours = play(servers["mq9fast"].port, name)
    if NATS_SERVER is not None:
        assert ours == play(servers["nats-server"].port, name, ours[2])
    if MESSAGES[name][2] == DEST + ONLY:
        assert b"hello" not in b"".join(ours[1].values())


@pytest.mark.parametrize("server", ["mq9fast", "nats-server"])
def test_the_trace_of_a_message_that_is_too_large(servers: dict[str, Any], server: str) -> None:
    if server not in servers:
        pytest.skip("nats-server is not installed")
    with ExitStack() as stack:
        listener = connect(stack, servers[server].port, "free", "listener")
        sender = connect(stack, servers[server].port, "free", "sender")
        listener.sub("trace.here")
        listener.ping()
        sender.pub("a.b", b"x" * 3000, header=b"NATS/1.0\r\n%s\r\n" % DEST)
        trace = events_of(listener.message(), {sender.info["client_id"]: "sender"})
        assert trace["request"] == {"header": {"Nats-Trace-Dest": ["trace.here"]}, "msgsize": 3041}
        assert [event["error"] for event in trace["events"]] == ["maximum payload exceeded"]
        assert sender.closed()


@pytest.mark.parametrize("server", ["mq9fast", "nats-server"])
def test_a_trace_is_compressed_on_request(servers: dict[str, Any], server: str) -> None:
    if server not in servers:
        pytest.skip("nats-server is not installed")
    with ExitStack() as stack:
        wire = connect(stack, servers[server].port, "free", "one")
        wire.sub("trace.here")
        wire.pub("a.b", header=b"NATS/1.0\r\n%sAccept-Encoding: gzip\r\n\r\n" % DEST)
        message = wire.message()
        assert message.header == b"NATS/1.0\r\nContent-Encoding: gzip\r\n\r\n"
        assert json.loads(gzip.decompress(message.payload))["request"]["msgsize"] == 64


def test_mailboxes_refuse_trace_reports_and_messages_that_are_only_traced(
    start_broker: Callable[..., Broker],
) -> None:
    broker = start_broker()
    with Wire(broker.port) as wire:
        wire.create(name="box")
        wire.sub("trace.here")
        refused = wire.msg("box", "x", b"NATS/1.0\r\n%s%s\r\n" % (DEST, ONLY))
        assert refused["code"] == "bad_request"
        assert "Nats-Trace-Only" in refused["error"]
        (event,) = wire.message().json["events"]
        assert event["error"] == "Not delivered because a mailbox takes no message that is only to be traced"
        refused = wire.request(
            "$mq9.AI.MAILBOX.CREATE", b'{"name":"x"}', b"NATS/1.0\r\n%s%s\r\n" % (DEST, ONLY)
        )
        assert refused.json["code"] == "bad_request"
        assert wire.list("x")["code"] == "mailbox_not_found"
        wire.message()
        # A message that is traced and delivered is stored.
        assert wire.msg("box", "kept", b"NATS/1.0\r\n%s\r\n" % DEST) == {"msg_id": 0}
        (event,) = wire.message().json["events"]
        assert event["subj"] == "$mq9.AI.MAILBOX.MSG.box"
        assert "error" not in event
        wire.pub("a", "x", header=b"NATS/1.0\r\nNats-Trace-Dest: $mq9.AI.MAILBOX.MSG.box\r\n\r\n")
        assert [it["payload"] for it in wire.list("box")["messages"]] == ["kept"]


def test_a_trace_names_at_most_a_thousand_receivers(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker()
    with Wire(broker.port) as reader, Wire(broker.port) as wire:
        reader.send("".join(f"SUB crowd {number}\r\n" for number in range(1200)))
        reader.ping()
        wire.sub("trace.here")
        wire.pub("crowd", "x", header=b"NATS/1.0\r\n%s\r\n" % DEST)
        assert len(wire.message().json["events"]) == 1001
        assert len(reader.messages(1200)) == 1200


def test_a_message_that_is_only_traced_reaches_no_worker(start_broker: Callable[..., Broker]) -> None:
    """As `nats trace` does it, with nats-py."""
    broker = start_broker()

    async def trace() -> None:
        worker, tracer = await connect_client(broker.url, name="worker"), await connect_client(broker.url)
        tasks = await worker.subscribe("tasks", queue="workers")
        await worker.flush()
        inbox = await tracer.subscribe(tracer.new_inbox())
        headers = {"Nats-Trace-Dest": inbox.subject, "Nats-Trace-Only": "true"}
        await tracer.publish("tasks", b"work", headers=headers)
        events = json.loads((await inbox.next_msg(WAIT_SECONDS)).data)["events"]
        assert [(it["type"], it.get("name"), it.get("queue")) for it in events[1:]] == [
            ("eg", "worker", "workers")
        ]
        await worker.flush()
        assert tasks.pending_msgs == 0
        await worker.close()
        await tracer.close()

    asyncio.run(trace())


def test_a_flood_of_traced_messages_does_not_delay_other_clients(start_broker: Callable[..., Broker]) -> None:
    """With many subscribers each trace costs milliseconds, so a read of them is handled in several turns."""
    broker = start_broker()
    with Wire(broker.port) as reader, Wire(broker.port) as sender, Wire(broker.port) as other:
        reader.send("".join(f"SUB crowd {number}\r\n" for number in range(1000)))
        reader.ping()
        other.ping()
        header = b"NATS/1.0\r\n%s%s\r\n" % (DEST, ONLY)
        before = broker.loop_seconds
        sender.send(b"HPUB crowd %d %d\r\n%b\r\n" % (len(header), len(header), header) * 1000)
        costs = []
        for _ in range(5):
            started = broker.loop_seconds
            other.ping()
            costs.append(broker.loop_seconds - started)
        sender.ping()
        assert sorted(costs)[2] < (broker.loop_seconds - before) / 70
