"""What clients do in a soak: each function connects, does something, and leaves, mostly abruptly."""

import json
import random
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress

from tests.core.test_compressed_frames import compressed_frame
from tests.fuzz.mutations import Mutator
from tests.fuzz.seeds import exchanges
from tests.soak.site import NAMES, Site
from tests.support.in_memory import pub
from tests.support.tls_wire import TlsWire
from tests.support.waiting import WAIT_SECONDS
from tests.support.websocket_client import BINARY, WebWire, frame, request
from tests.support.wire_client import MAILBOX, Wire

Round = Callable[[Site, random.Random], None]
OPTIONS: list[dict[str, object]] = [
    {"ack_wait": 1, "max_deliver": 2, "dead_letter": "soak.0"},
    {"max_age": 1, "dead_letter": "soak.0", "dead_letter_expired": True},
    {"receipts_to": "soak.1", "max_messages": 20, "discard": "old"},
    {"duplicate_window": 1},
]
EXCHANGES = exchanges()


def header(**lines: str) -> bytes:
    text = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
    return f"NATS/1.0\r\n{text}\r\n".encode()


def use(wire: Wire, chance: random.Random) -> None:
    """Subscriptions, messages and mailboxes on one connection."""
    name = chance.choice(NAMES)
    wire.sub(f"plain.{chance.randrange(9)}.*", "1", chance.choice(["", "q"]))
    wire.pub(f"plain.{chance.randrange(9)}.x", b"x" * chance.randrange(3000))
    wire.create(name=name, public=True, ttl=chance.choice([1, 2, 60]), **chance.choice(OPTIONS))
    wire.sub(f"{MAILBOX}EVENT.{name}.*", "3")
    wire.subscribe(name, "2", chance.choice(["", "workers"]))
    for _ in range(chance.randrange(20)):
        wire.pub(f"{MAILBOX}MSG.{name}", b"y" * chance.randrange(2000), header=_message_header(chance))
    wire.ping()
    for message in [each for each in wire.received if each.sid == "2"][:10]:
        wire.pub(message.reply, chance.choice([b"", b"-NAK", b"+WPI", b"+TERM no", b"an answer"]))
    wire.send(chance.choice(["UNSUB 1\r\n", "UNSUB 2\r\n", "UNSUB 2 3\r\n", ""]))
    if chance.random() < 0.5:
        wire.ping()


def _message_header(chance: random.Random) -> bytes:
    number = str(chance.randrange(50))
    return chance.choice(
        [
            b"",
            header(Nats_Msg_Id=number),
            header(Mq9_Key=number, Mq9_Receipt_To="soak.1"),
            header(Mq9_Delay="1", Nats_TTL="1s"),
            header(Mq9_Reply_To="soak.2", Mq9_Correlation_Id=number),
        ]
    )


def plain(site: Site, chance: random.Random) -> None:
    with Wire(site.port) as wire:
        use(wire, chance)


def over_tls(site: Site, chance: random.Random) -> None:
    with TlsWire(site.port, site.tls) as wire:
        use(wire, chance)


def over_websocket(site: Site, chance: random.Random) -> None:
    with WebWire(site.ws_port, tls=site.tls) as wire:
        wire.pub("plain.1.x", b"z" * chance.randrange(5000))
        wire.sub("plain.>", "1")
        wire.ping()


def over_compressed_websocket(site: Site, chance: random.Random) -> None:
    """The client reads nothing: it leaves while the broker has compressed messages for it."""
    with WebWire(site.ws_port, tls=site.tls, Sec_WebSocket_Extensions="permessage-deflate") as wire:
        data = b"SUB plain.> 1\r\n" + pub(b"plain.1.x", b"z" * chance.randrange(5000)) * 9
        wire.frames(compressed_frame(data), compressed_frame(data)[: chance.randrange(40)])


def ask_and_answer(site: Site, chance: random.Random) -> None:
    """A question in one mailbox, its answer in another."""
    with Wire(site.port) as asker, Wire(site.port) as worker:
        question, answers = chance.sample(NAMES, 2)
        for name in (question, answers):
            asker.create(name=name, public=True, ttl=5)
        worker.subscribe(question, "1", "workers")
        asker.msg(question, b"?", header(Mq9_Reply_To=answers))
        with suppress(TimeoutError):
            worker.pub(worker.message(0.5).reply, b"!")
        asker.request(f"{MAILBOX}LIST.{answers}", json.dumps({"limit": chance.randrange(1, 9)}).encode())


def monitor(site: Site, chance: random.Random) -> None:
    page = chance.choice(
        ["varz", "connz?subs=1", "subsz", "healthz", "metrics", "mailboxz", "nothing", "%ff"]
    )
    with suppress(urllib.error.HTTPError):
        urllib.request.urlopen(f"{site.monitor_url}/{page}", timeout=WAIT_SECONDS).read()


def change_settings(site: Site, chance: random.Random) -> None:
    if chance.random() < 0.1:
        site.reload(chance)


def random_bytes(site: Site, chance: random.Random) -> None:
    """Changed exchanges, frames, requests and noise, to any port, in pieces, and mostly broken off."""
    mutator = Mutator(chance, [b"\r\n", b"PUB a 3\r\n", frame(BINARY, b"PING\r\n"), b"GET / HTTP/1.1\r\n"])
    seed = chance.choice(
        [chance.choice(EXCHANGES), request() + frame(BINARY, b"PING\r\n") * 3, b"\x16\x03\x01"]
    )
    data = mutator.mutate(seed, chance.choice(EXCHANGES))
    port = chance.choice([site.port, site.port, site.ws_port, site.monitor_port])
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), WAIT_SECONDS) as raw:
        sent: socket.socket | ssl.SSLSocket = raw
        if port == site.ws_port and chance.random() < 0.7:
            sent = site.tls.wrap_socket(raw, server_hostname="localhost")
        for at in range(0, len(data), size := chance.choice([1, 7, 5000])):
            sent.sendall(data[at : at + size])
        if chance.random() < 0.5:
            sent.settimeout(0.05)
            sent.recv(1 << 16)


ROUNDS: list[Round] = [
    *(
        plain,
        plain,
        over_tls,
        over_websocket,
        over_compressed_websocket,
        ask_and_answer,
        monitor,
        change_settings,
    ),
    *(random_bytes, random_bytes, random_bytes),
]
