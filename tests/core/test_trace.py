"""Tests of `pubsub/message_trace` against a simple second reading of the headers."""

import re

from hypothesis import given
from hypothesis import strategies as st

from mq9fast._core.pubsub.message_trace import Trace
from mq9fast.network.message_trace import headers_of
from tests.support.in_memory import MANY, Core

PIECES = st.sampled_from(
    [
        *(
            b"Nats-Trace-Dest",
            b"Nats-Trace-Only",
            b"Nats-Trace-",
            b"nats-trace-dest",
            b":",
            b" ",
            b"\r\n",
            b"\n",
        ),
        *(b"\r", b"true", b"1", b"off", b"a.b", b"a.*", b"x", b"", b"NATS/1.0\r\n", b"\xff"),
    ]
)
BLOCKS = st.lists(PIECES, max_size=30).map(b"".join)


def value(block: bytes, name: bytes) -> bytes:
    found = re.search(rb"\r\n" + name + rb":([^\r]*)", block)
    return found[1].strip(b" ") if found else b""


@MANY
@given(BLOCKS, st.booleans())
def test_trace_headers_are_read_as_by_a_regular_expression(block: bytes, framed: bool) -> None:
    block = b"NATS/1.0\r\n" + block + b"\r\n\r\n" if framed else block
    core = Core()
    traces: list[Trace] = []

    def report(trace: Trace) -> tuple[bytes, bytes]:
        traces.append(trace)
        return b"", b"traced"

    core.engine.tracer.report = report
    reader, sender = core.session(), core.session()
    reader.feed(b"SUB subject 1\r\n")
    sender.feed(b"HPUB subject %d %d\r\n%b!\r\n" % (len(block), len(block) + 1, block))
    destination = value(block, b"Nats-Trace-Dest")
    only = bool(destination) and value(block, b"Nats-Trace-Only").lower() in {b"1", b"true", b"on"}
    assert (b"!\r\n" in reader.after_turn()) == (not only)
    is_plain_subject = re.fullmatch(rb"[^\x00-\x20.*>]+(\.[^\x00-\x20.*>]+)*", destination) is not None
    if is_plain_subject:
        assert [(it.destination, it.only, it.subject) for it in traces] == [(destination, only, b"subject")]
    headers_of(block)
