"""/metrics: counters and gauges of the broker for Prometheus.

`routes.Monitor` registers the collector, and prometheus-client writes the text. It reads the broker and the
process.
"""

import math
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily

from mq9fast.log import dropped_lines
from mq9fast.monitoring.broker_view import BrokerView
from mq9fast.monitoring.pages.varz import memory_bytes


class BrokerCollector:
    """The metrics of one broker, read at each scrape. No label depends on what clients create."""

    def __init__(self, broker: BrokerView) -> None:
        self._broker = broker
        self._started = time.time()

    def collect(self) -> Iterable[Metric]:
        """Every metric. Counters count since the start of the broker."""
        broker, engine = self._broker, self._broker.engine
        mailbox_index, syncer = broker.mailboxes.mailbox_index, broker.pipeline.syncer
        for name, help_text, value in (
            ("mq9fast_in_messages", "Messages received from clients", engine.in_messages),
            ("mq9fast_in_bytes", "Bytes of messages received from clients", engine.in_bytes),
            ("mq9fast_out_messages", "Messages sent to clients", engine.pending_work.out_messages),
            ("mq9fast_out_bytes", "Bytes of messages sent to clients", engine.pending_work.out_bytes),
            ("mq9fast_connections_opened", "Connections accepted", broker.total_connections),
            (
                "mq9fast_slow_consumers",
                "Clients disconnected because they read too slowly",
                engine.pending_work.slow_consumers,
            ),
            (
                "mq9fast_stale_connections",
                "Clients disconnected because they did not answer pings",
                engine.pending_work.stale_connections,
            ),
            (
                "mq9fast_permission_violations",
                "Publishes and subscriptions refused by permissions",
                engine.violations,
            ),
            ("mq9fast_mailbox_messages_accepted", "Messages stored", engine.mailbox_writer.accepted),
            (
                "mq9fast_mailbox_messages_deleted",
                "Messages deleted by clients",
                engine.mailbox_writer.deleted,
            ),
            (
                "mq9fast_mailbox_duplicates",
                "Messages not stored because one with the same Nats-Msg-Id was",
                engine.mailbox_writer.duplicates,
            ),
            (
                "mq9fast_mailbox_deliveries_failed",
                "Deliveries to members of queue groups that ended without an answer",
                engine.delivery.failed_deliveries,
            ),
            (
                "mq9fast_answers",
                "Answers sent to the mailbox of the asker",
                engine.mailbox_writer.answerer.answered,
            ),
            (
                "mq9fast_answers_lost",
                "Answers not sent because the mailbox of the asker did not exist",
                engine.mailbox_writer.answerer.lost,
            ),
            ("mq9fast_events", "Events of mailboxes sent to clients", engine.delivery.events.sent),
            (
                "mq9fast_events_lost",
                "Events not sent because a socket was full",
                engine.delivery.events.lost,
            ),
            ("mq9fast_receipts", "Receipts sent", engine.mailbox_writer.receipts.sent),
            (
                "mq9fast_receipts_dropped",
                "Receipts not sent because their mailbox did not exist or had no room",
                engine.mailbox_writer.receipts.dropped,
            ),
            (
                "mq9fast_mailbox_messages_discarded",
                "Messages dropped because newer ones replaced them",
                engine.mailbox_writer.discarded,
            ),
            (
                "mq9fast_mailbox_dead_letters",
                "Messages moved to a mailbox for dead letters",
                engine.mailbox_writer.dead_letters.moved,
            ),
            (
                "mq9fast_mailbox_dead_letters_dropped",
                "Messages that failed too often or were terminated, and were dropped",
                engine.mailbox_writer.dead_letters.dropped,
            ),
            (
                "mq9fast_mailbox_messages_dropped",
                "Messages refused without a reply subject for the error",
                engine.mailbox_writer.dropped,
            ),
            ("mq9fast_mailbox_messages_expired", "Messages whose life ended", broker.expirer.expired),
            ("mq9fast_mailboxes_expired", "Mailboxes whose TTL ended", broker.mailboxes.expired),
            ("mq9fast_log_lines_dropped", "Log lines that could not be written in time", dropped_lines()),
            (
                "mq9fast_batches_failed",
                "Batches that could not be written to the store",
                broker.pipeline.failed_batches,
            ),
            ("mq9fast_lost_writes", "Acknowledged changes lost before this start", broker.lost_writes),
            ("process_cpu_seconds", "Processor time used", time.process_time()),
        ):
            yield CounterMetricFamily(name, help_text, value=value)
        refused = CounterMetricFamily(
            "mq9fast_limit_exceeded", "Requests refused because of a limit", labels=["limit"]
        )
        refused.add_metric(["connections"], broker.refused_connections)
        refused.add_metric(["subscriptions"], engine.refused_subscriptions)
        refused.add_metric(["mailboxes"], broker.mailboxes.over_limit)
        refused.add_metric(["messages"], engine.mailbox_writer.over_limit)
        yield refused
        yield SummaryMetricFamily(
            "mq9fast_sync_seconds",
            "Fsyncs of the log and the time they took",
            count_value=syncer.syncs,
            sum_value=syncer.sync_seconds,
        )
        for name, help_text, value in (
            ("mq9fast_connections", "Connections open now", len(broker.connections)),
            ("mq9fast_subscriptions", "Subscriptions now", engine.subscribed - engine.unsubscribed),
            ("mq9fast_mailboxes", "Mailboxes live now", mailbox_index.live_count),
            ("mq9fast_mailbox_messages", "Messages stored now", mailbox_index.message_count),
            ("mq9fast_mailbox_bytes", "Bytes of headers and payloads stored now", mailbox_index.size_bytes),
            ("mq9fast_remembered_ids", "Values of Nats-Msg-Id in memory now", mailbox_index.remembered_ids),
            ("mq9fast_store_healthy", "1 while /healthz reports no fault", int(broker.health.ok)),
            ("mq9fast_disk_free_bytes", "Bytes free on the disk of the store", free_bytes(broker.data_dir)),
            # prometheus-client's own process metrics also count open files, which is slow with many
            # connections.
            ("process_resident_memory_bytes", "Resident memory", memory_bytes()),
            ("process_start_time_seconds", "Start of the broker, Unix seconds", self._started),
        ):
            yield GaugeMetricFamily(name, help_text, value=value)


def free_bytes(directory: Path) -> float:
    """The bytes that the broker may still write; not a number if the system does not tell."""
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return math.nan
