"""What a broker counts, as Prometheus reads it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

if TYPE_CHECKING:
    from mq9fast.broker import Broker


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a broker's connections have moved so far, those closed included."""

    in_messages: int
    in_bytes: int
    out_messages: int
    out_bytes: int
    subscriptions: int


def traffic(broker: "Broker") -> Traffic:
    """Add up the connections of a broker."""
    core = broker.core
    sessions = [connection.session for connection in broker.connections.values()]
    return Traffic(
        core.in_messages,
        core.in_bytes,
        core.closed_out_messages + sum(session.out_messages for session in sessions),
        core.closed_out_bytes + sum(session.out_bytes for session in sessions),
        sum(len(session.subscriptions) for session in sessions),
    )


class BrokerCollector:
    """A broker's figures for Prometheus, read when asked for. No label grows with what users create."""

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker

    def collect(self) -> Iterable[Metric]:
        """Every metric, counters since the start of the broker."""
        broker, core = self._broker, self._broker.core
        directory, moved = broker.mailboxes.directory, traffic(self._broker)
        for name, help_text, value in (
            ("mq9fast_in_messages", "Messages received from clients", moved.in_messages),
            ("mq9fast_in_bytes", "Bytes of messages received from clients", moved.in_bytes),
            ("mq9fast_out_messages", "Messages sent to clients", moved.out_messages),
            ("mq9fast_out_bytes", "Bytes of messages sent to clients", moved.out_bytes),
            ("mq9fast_connections_opened", "Connections accepted", broker.total_connections),
            (
                "mq9fast_slow_consumers",
                "Clients cut off because they did not read",
                core.agenda.slow_consumers,
            ),
            ("mq9fast_permission_violations", "Publishes and subscriptions refused", core.violations),
            ("mq9fast_mailbox_messages_accepted", "Messages stored", core.intake.accepted),
            ("mq9fast_mailbox_messages_deleted", "Messages deleted by clients", core.intake.deleted),
            ("mq9fast_mailbox_messages_dropped", "Refused without anybody to tell", core.intake.dropped),
            ("mq9fast_mailboxes_expired", "Mailboxes whose TTL ran out", broker.mailboxes.expired),
            ("mq9fast_batches_failed", "Batches the store did not take", broker.committer.failed_batches),
        ):
            yield CounterMetricFamily(name, help_text, value=value)
        refused = CounterMetricFamily("mq9fast_limit_exceeded", "Requests past a limit", labels=["limit"])
        refused.add_metric(["connections"], broker.refused_connections)
        refused.add_metric(["subscriptions"], core.refused_subscriptions)
        refused.add_metric(["mailboxes"], broker.mailboxes.over_limit)
        refused.add_metric(["messages"], core.intake.over_limit)
        yield refused
        for name, help_text, value in (
            ("mq9fast_connections", "Connections open now", len(broker.connections)),
            ("mq9fast_subscriptions", "Subscriptions now", moved.subscriptions),
            ("mq9fast_mailboxes", "Mailboxes living now", directory.live_count),
            ("mq9fast_mailbox_messages", "Messages stored now", directory.message_count),
            ("mq9fast_mailbox_bytes", "Bytes of headers and payloads stored now", directory.size_bytes),
            ("mq9fast_store_healthy", "1 while the store takes writes", int(broker.committer.healthy)),
        ):
            yield GaugeMetricFamily(name, help_text, value=value)
