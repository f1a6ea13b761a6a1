"""Traces: spans of the client, and their context in the headers of messages."""

from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import mq9fast
from mq9fast.client import Mq9
from tests.support.broker import Broker
from tests.support.client import with_client


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture(autouse=True)
def clear(exporter: InMemorySpanExporter) -> Iterator[None]:
    yield
    exporter.clear()


def test_message_is_processed_in_the_trace_of_its_sender(
    broker: Broker, address: str, exporter: InMemorySpanExporter
) -> None:
    async def use(mq9: Mq9) -> None:
        await mq9.create(address)
        with trace.get_tracer("test").start_as_current_span("the program"):
            await mq9.send(address, "task", headers={"Tag": "a"})
        async with mq9.group(address, "g") as group, await group.next() as message:
            assert "traceparent" in message.headers and message.headers["Tag"] == "a"
            with trace.get_tracer("test").start_as_current_span("the work"):
                pass

    with_client(broker.url, use)
    spans = {span.name: span for span in exporter.get_finished_spans()}
    program, sent = spans["the program"], spans[f"send {address}"]
    processed, work = spans[f"process {address}"], spans["the work"]
    assert len({span.context.trace_id for span in spans.values()}) == 1
    assert sent.parent is not None and sent.parent.span_id == program.context.span_id
    assert processed.parent is not None and processed.parent.span_id == sent.context.span_id
    assert work.parent is not None and work.parent.span_id == processed.context.span_id
    assert (sent.kind, processed.kind) == (trace.SpanKind.PRODUCER, trace.SpanKind.CONSUMER)
    assert dict(processed.attributes or {}) == {
        "messaging.system": "mq9",
        "messaging.operation.type": "process",
        "messaging.destination.name": address,
        "messaging.message.id": "0",
    }


def test_spans_of_a_program_without_a_loop(
    broker: Broker, address: str, exporter: InMemorySpanExporter
) -> None:
    with mq9fast.connect_sync(broker.url) as mq9:
        mq9.create(address)
        with trace.get_tracer("test").start_as_current_span("the program"):
            mq9.send(address, "task")
        tracer = trace.get_tracer("test")
        with mq9.group(address, "g") as group, group.next(), tracer.start_as_current_span("the work"):
            pass
    spans = {span.name: span for span in exporter.get_finished_spans()}
    parents = {
        f"send {address}": "the program",
        f"process {address}": f"send {address}",
        "the work": f"process {address}",
    }
    for child, parent in parents.items():
        found = spans[child].parent
        assert found is not None and found.span_id == spans[parent].context.span_id, child


def test_question_and_answer_are_one_trace(
    broker: Broker, address: str, exporter: InMemorySpanExporter
) -> None:
    async def use(mq9: Mq9) -> None:
        await mq9.create(address)
        ticket = await mq9.send_question(address, "?")
        async with mq9.group(address, "g") as group, await group.next() as message:
            await message.reply("!")
        answer = await mq9.answer(ticket)
        async with answer:
            pass

    with_client(broker.url, use)
    assert len({span.context.trace_id for span in exporter.get_finished_spans()}) == 1
    assert len(exporter.get_finished_spans()) == 4


def test_failure_of_a_block_is_in_its_span(
    broker: Broker, address: str, exporter: InMemorySpanExporter
) -> None:
    async def use(mq9: Mq9) -> None:
        await mq9.create(address)
        await mq9.send(address, "task")
        with pytest.raises(ZeroDivisionError):
            async with mq9.group(address, "g") as group, await group.next():
                raise ZeroDivisionError

    with_client(broker.url, use)
    (failed,) = [span for span in exporter.get_finished_spans() if span.name.startswith("process")]
    assert not failed.status.is_ok
