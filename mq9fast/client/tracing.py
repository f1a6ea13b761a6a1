"""W3C trace context in headers, and spans, if opentelemetry-api is installed. Else this costs nothing."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any


class _OpenTelemetry:
    """Raises ImportError where opentelemetry-api is not installed."""

    def __init__(self) -> None:
        from opentelemetry.propagate import extract, inject
        from opentelemetry.trace import SpanKind, get_tracer

        self.extract = extract
        self.inject = inject
        self.kinds = SpanKind
        self.tracer = get_tracer("mq9fast.client")


try:
    _otel: _OpenTelemetry | None = _OpenTelemetry()
except ImportError:
    _otel = None


def sending(address: str, headers: dict[str, str]) -> AbstractContextManager[Any]:
    """A span for a message that is sent; adds the trace context of the span to `headers` when it begins."""
    return nullcontext() if _otel is None else _Sending(_otel, address, headers)


class _Sending(AbstractContextManager[Any]):
    def __init__(self, otel: _OpenTelemetry, address: str, headers: dict[str, str]) -> None:
        self._inject = otel.inject
        self._headers = headers
        self._span = otel.tracer.start_as_current_span(
            f"send {address}", kind=otel.kinds.PRODUCER, attributes=_attributes("send", address)
        )

    def __enter__(self) -> Any:
        span = self._span.__enter__()
        self._inject(self._headers)
        return span

    def __exit__(self, *raised: Any) -> Any:
        return self._span.__exit__(*raised)


def processing(address: str, msg_id: int, headers: Mapping[str, str]) -> AbstractContextManager[Any]:
    """A span for a message while the program works on it, in the trace of its sender."""
    if _otel is None:
        return nullcontext()
    span: AbstractContextManager[Any] = _otel.tracer.start_as_current_span(
        f"process {address}",
        context=_otel.extract({name.lower(): value for name, value in headers.items()}),
        kind=_otel.kinds.CONSUMER,
        attributes=_attributes("process", address) | {"messaging.message.id": str(msg_id)},
    )
    return span


def _attributes(operation: str, address: str) -> dict[str, str]:
    """The attributes of OpenTelemetry's conventions for messaging."""
    return {
        "messaging.system": "mq9",
        "messaging.operation.type": operation,
        "messaging.destination.name": address,
    }
