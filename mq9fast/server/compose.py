"""Builds the parts of a broker that need no socket, and passes to each constructor the parts that it calls.

`server/broker.py` calls it, with the store that the broker opened.
"""

import asyncio
import os
from typing import NamedTuple

from mq9fast._core.answerer import Answerer
from mq9fast._core.base.broker_time import BrokerTime
from mq9fast._core.base.limits import Limits
from mq9fast._core.commit.accumulator import Accumulator
from mq9fast._core.dead_letters import DeadLetters
from mq9fast._core.deduplicator import Deduplicator
from mq9fast._core.delayed_messages import DelayedMessages
from mq9fast._core.delayer import Delayer
from mq9fast._core.deleter import Deleter
from mq9fast._core.delivery.delivery import Delivery
from mq9fast._core.delivery.events import Events
from mq9fast._core.delivery.failures import Failures
from mq9fast._core.discarder import Discarder
from mq9fast._core.dropper import Dropper
from mq9fast._core.ended_messages import EndedMessages
from mq9fast._core.engine import Engine
from mq9fast._core.expirer import Expirer
from mq9fast._core.mailbox.mailbox_index import MailboxIndex
from mq9fast._core.mailbox_writer import MailboxWriter
from mq9fast._core.message_adder import MessageAdder
from mq9fast._core.names import Names
from mq9fast._core.pubsub.client import PendingWork
from mq9fast._core.pubsub.router import Router
from mq9fast._core.receipts import Receipts
from mq9fast._core.replacer import Replacer
from mq9fast._core.thinner import Thinner
from mq9fast.commit.page_cache import PageCacheLimit, cache_limit_bytes
from mq9fast.commit.pipeline import CommitPipeline
from mq9fast.commit.read_retry import ReadRetry
from mq9fast.commit.refused import RefusedMessages
from mq9fast.commit.syncer import NewSyncer
from mq9fast.commit.value_cleaner import ValueCleaner
from mq9fast.config.settings import Settings
from mq9fast.errors import UNREADABLE, refusals
from mq9fast.event_loop import ready_descriptor
from mq9fast.health import Health
from mq9fast.mailbox.board import Board
from mq9fast.mailbox.commands import Commands
from mq9fast.mailbox.lifecycle import Mailboxes
from mq9fast.mailbox.listing import Listing
from mq9fast.storage.compaction import Compaction
from mq9fast.storage.layout import hash_key
from mq9fast.storage.store import Store

# Bytes of one read of a socket. With 512 KiB, messages of 16 KiB cost a fifth less than with 128 KiB. For
# small messages the turn's time is the limit.
READ_BYTES = 524288


class Parts(NamedTuple):
    """The parts that `Broker` uses directly."""

    engine: Engine
    accumulator: Accumulator
    mailboxes: Mailboxes
    pipeline: CommitPipeline
    read_retry: ReadRetry
    deduplicator: Deduplicator
    expirer: Expirer
    discarder: Discarder
    replacer: Replacer
    thinner: Thinner
    value_cleaner: ValueCleaner
    page_cache_limit: PageCacheLimit
    compaction: Compaction


def random_bits() -> int:
    """64 bits of the system's secure random source."""
    return int.from_bytes(os.urandom(8), "big")


def compose(
    settings: Settings,
    limits: Limits,
    store: Store,
    health: Health,
    new_syncer: NewSyncer,
) -> Parts:
    """Build the parts in the running event loop. No mailbox is read from the store yet. Raises StoreError."""
    loop = asyncio.get_running_loop()
    pending_work = PendingWork(limits)
    mailbox_index = MailboxIndex(random_bits(), 0, store.id_epoch)
    router = Router(pending_work, random_bits())
    accumulator = Accumulator(store.new_batch())
    failures = Failures(mailbox_index, accumulator, store=store)
    time = BrokerTime()
    events = Events(mailbox_index, pending_work, accumulator, time)
    delivery = Delivery(
        mailbox_index,
        router,
        pending_work,
        failures,
        events,
        store_errors=UNREADABLE,
        first_group=random_bits(),
        bury=lambda *message: dead_letters.bury(*message),
    )
    read_retry = ReadRetry(store, delivery, pending_work, health)
    pipeline = CommitPipeline(
        pending_work,
        accumulator,
        delivery,
        RefusedMessages(mailbox_index, delivery, accumulator, store),
        store,
        read_retry,
        health,
        new_syncer=new_syncer,
        sync=settings.sync,
        sync_interval=settings.sync_interval,
    )
    deduplicator = Deduplicator(
        mailbox_index,
        pending_work,
        accumulator,
        hash_key(store),
        store=store,
        write_batch=pipeline.write_batch,
    )
    names = Names(accumulator, store=store)
    deleter = Deleter(
        mailbox_index,
        pending_work,
        accumulator,
        failures,
        names,
        store=store,
        write_batch=pipeline.write_batch,
    )
    delayed = DelayedMessages(mailbox_index, accumulator, store=store)
    dropper = Dropper(
        mailbox_index,
        accumulator,
        deleter,
        delayed,
        events,
        store=store,
        send_receipts=lambda *message: receipts.replaced(*message),
    )
    discarder = Discarder(pending_work, accumulator, dropper, store=store, finish_write=pipeline.finish_write)
    replacer = Replacer(
        mailbox_index,
        pending_work,
        accumulator,
        dropper,
        hash_key(store),
        store=store,
        finish_write=pipeline.finish_write,
    )
    adder = MessageAdder(mailbox_index, accumulator, events, limits, discarder, replacer)
    receipts = Receipts(mailbox_index, accumulator, adder, store=store)
    dead_letters = DeadLetters(
        mailbox_index,
        accumulator,
        adder,
        deleter,
        receipts,
        events,
        store=store,
        create=lambda address: mailboxes.auto_create(address),
    )
    mailboxes = Mailboxes(
        mailbox_index,
        delivery,
        accumulator,
        store,
        limits,
        EndedMessages(receipts, dead_letters, store=store),
    )
    delayer = Delayer(mailbox_index, delayed, adder, names, time)
    mailbox_writer = MailboxWriter(
        mailbox_index,
        delivery,
        pending_work,
        accumulator,
        adder,
        delayer,
        deleter,
        deduplicator,
        Answerer(mailbox_index, accumulator, adder, deleter, store=store),
        receipts,
        dead_letters,
        refusals(),
        store_errors=UNREADABLE,
        create=mailboxes.auto_create,
    )

    def page_bytes() -> int:
        return engine.max_payload

    listing = Listing(mailbox_index, store, names, page_bytes, time, replacer.find_key)
    board = Board(mailbox_index, store, page_bytes, time)
    engine = Engine(
        pending_work,
        router,
        delivery,
        mailbox_writer,
        accumulator,
        time,
        pipeline=pipeline,
        commands=Commands(
            pending_work, accumulator, router, mailboxes, listing, board, pipeline.syncer.may_read
        ),
        loop=loop,
        ready_descriptor=ready_descriptor(loop),
        read_bytes=READ_BYTES,
        control_line_bytes=settings.max_control_line,
        payload_bytes=settings.max_payload,
    )
    engine.resume_expiry()
    return Parts(
        engine,
        accumulator,
        mailboxes,
        pipeline,
        read_retry,
        deduplicator,
        Expirer(
            mailbox_index,
            accumulator,
            deleter,
            delayer,
            receipts,
            dead_letters,
            store=store,
            write_batch=pipeline.write_batch,
        ),
        discarder,
        replacer,
        Thinner(mailbox_index, accumulator),
        ValueCleaner(store, mailbox_index, accumulator, pipeline.syncer, pipeline.write_batch),
        PageCacheLimit(store.values, cache_limit_bytes()),
        Compaction(store, mailbox_index, health),
    )
