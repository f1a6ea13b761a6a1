"""A NATS client that records what it does and sees. The client library is nats-py."""

import asyncio
import collections
import contextlib
import itertools
import json
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription

from tests.fault.history.history import History
from tests.fault.history.payload import make_payload, read_uid
from tests.fault.history.records import Delivery, Event, Listing, Request, Sighting, Subscription, Watch, now
from tests.support.nats_py import PatientClient
from tests.support.waiting import WAIT_SECONDS
from tests.support.wire_client import MAILBOX

CLOSE_SECONDS = 5
PROBE_SECONDS = 0.05
_numbers = itertools.count(1)


class _Connection(PatientClient):
    """nats-py's client, whose closing is seen also where its socket was reset, which it forgets to tell.

    `read_until`: what the server sent before this moment, this end has read. A server that answers a PING has
    sent all of it before. Each message has that moment as it was when the message was read, as `since`.
    """

    on_closed: Callable[[], None] | None = None
    read_until = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.pings: collections.deque[float] = collections.deque()

    async def probe(self) -> None:
        """Move `read_until` on, again and again."""
        with contextlib.suppress(Exception):  # the connection ended
            while True:
                if not self.pings:
                    await self._send_ping()
                await asyncio.sleep(PROBE_SECONDS)

    async def _send_ping(self, future: asyncio.Future[bool] | None = None) -> None:
        self.pings.append(now())
        await super()._send_ping(future)

    async def _process_pong(self) -> None:
        if self.pings:
            self.read_until = self.pings.popleft()
        await super()._process_pong()

    def _build_message(self, *arguments: Any) -> Msg:
        message = super()._build_message(*arguments)
        message.since = self.read_until
        return message

    async def _close(self, *arguments: Any, **more: Any) -> None:
        try:
            await super()._close(*arguments, **more)
        except OSError:
            for subscription in self._subs.values():
                subscription._stop_processing()
        finally:
            if self.on_closed is not None:
                self.on_closed()


OnDelivery = Callable[[Delivery], Coroutine[Any, Any, None]]


class RecordingClient:
    """One connection. When it ends it is not opened again: make another client.

    `name` and the uids that it gives out are different for each client of a history. Without a reply within
    `patience` seconds, or if the connection ends first, the outcome of a request is unknown. `unanswered`:
    how many requests had no reply in time. A connection ends if the server does not answer pings, which are
    `ping_seconds` apart. `user`: the name with which it signed in.
    """

    def __init__(
        self, history: History, name: str, *, patience: float = WAIT_SECONDS, ping_seconds: float = 120
    ) -> None:
        self.history = history
        self.name = f"{name}-{next(_numbers)}"
        self.user = ""
        self.patience = patience
        self.unanswered = 0
        self._ping_seconds = ping_seconds
        self.ended = asyncio.Event()
        self._nats = _Connection()
        self._probing: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._uids = itertools.count()
        self._replies: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._reply_numbers = itertools.count()
        self._subscriptions: dict[int, tuple[Subscription, NatsSubscription]] = {}
        self._watches: list[tuple[Watch, NatsSubscription]] = []

    async def connect(self, urls: Sequence[str]) -> "RecordingClient":
        """Connect to the first of `urls` that accepts it. A URL may have the name and the password of a user.
        Raises OSError if none does."""
        for url in urls:
            self._nats = _Connection()
            try:
                await self._nats.connect(
                    url,
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0.01,
                    connect_timeout=self.patience,
                    ping_interval=self._ping_seconds,
                    max_outstanding_pings=2,
                    error_cb=self._on_error,
                )
            except Exception as error:  # nats-py raises many kinds
                failure = error
                continue
            self.user = urlsplit(url).username or ""
            self._nats.on_closed = self._on_closed
            self._probing = asyncio.create_task(self._nats.probe())
            await self._nats.subscribe(f"{self.name}.*", cb=self._on_reply)
            return self
        raise OSError(f"no broker accepts connections: {failure!r}") from failure

    async def __aenter__(self) -> "RecordingClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection, which ends its subscriptions."""
        self._end_watches()
        self._end_subscriptions(is_lost=False)
        with contextlib.suppress(Exception):
            # Over a cut network it would wait for ever until everything is sent.
            await asyncio.wait_for(self._nats.close(), CLOSE_SECONDS)
        self._on_closed()

    @property
    def is_connected(self) -> bool:
        return self._nats.is_connected and not self.ended.is_set()

    @property
    def port(self) -> int:
        """Of this end of the connection."""
        assert self._nats._transport is not None
        return int(self._nats._transport._io_writer.get_extra_info("sockname")[1])

    async def _on_error(self, _: Exception) -> None:
        """nats-py tells of a lost connection here, and then closes."""

    def _on_closed(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
        self._end_subscriptions(is_lost=True)
        self.ended.set()
        for future in self._replies.values():
            if not future.done():
                future.set_exception(ConnectionError("the connection ended"))

    def _end_subscriptions(self, *, is_lost: bool) -> None:
        for subscription, _ in self._subscriptions.values():
            if subscription.ended is None:
                subscription.ended, subscription.is_lost = now(), is_lost

    def _end_watches(self) -> None:
        for watch, nats_subscription in self._watches:
            # What was read and waits is not recorded any more.
            if self.is_connected and nats_subscription._pending_queue.empty():
                watch.complete_until = self._nats.read_until
        self._watches.clear()

    # Requests.

    def new_uid(self) -> str:
        return f"{self.name}:{next(self._uids)}"

    async def create(self, address: str, **fields: Any) -> Request:
        body = json.dumps({"name": address, **fields}).encode()
        return await self._request("create", address, fields, "CREATE", body)

    async def msg(
        self,
        address: str,
        priority: str = "normal",
        size: int = 0,
        headers: dict[str, str] | None = None,
        *,
        wants_reply: bool = True,
    ) -> Request:
        """Send a message of this client, with a `size` of the filling of its payload."""
        uid, headers = self.new_uid(), headers or {}
        payload = make_payload(uid, size)
        # Whatever a client writes there does not count.
        counting = {name: value for name, value in headers.items() if name != "Mq9-From"}
        asked = {"uid": uid, "priority": priority, "headers": counting, "bytes": len(payload)}
        if "Mq9-Deliver-At" in headers:
            wait = datetime.fromisoformat(headers["Mq9-Deliver-At"]).timestamp() - time.time()
            asked["due"] = now() + wait
        suffix = "" if priority == "normal" else f".{priority}"
        return await self._request(
            "msg",
            address,
            asked,
            f"MSG.{address}{suffix}",
            payload,
            {**headers, "Uid": uid},
            wants_reply,
        )

    async def delete(self, address: str, msg_id: int) -> Request:
        return await self._request("delete", address, {"msg_id": msg_id}, f"DELETE.{address}.{msg_id}", b"")

    async def answer(self, delivery: Delivery, word: str = "", *, wants_reply: bool = True) -> Request:
        """Answer a delivery with a control word, or, if it is "answer", with a message of this client."""
        uid = self.new_uid() if word == "answer" else None
        body = make_payload(uid, 10) if uid else word.encode()
        seen = delivery.seen
        asked = {
            "msg_id": seen.msg_id,
            "body": word,
            "uid": uid,
            "delivery": delivery.number,
            "token": delivery.token,
        }
        subject = f"DELETE.{seen.address}.{seen.msg_id}{delivery.token}"
        headers = {"Uid": uid} if uid else None
        return await self._request("answer", seen.address, asked, subject, body, headers, wants_reply)

    async def list(self, address: str, *, is_final: bool = False) -> Listing | None:
        """Record and return all pages of a mailbox. None if the outcome of a page is unknown."""
        begun, fields, seen, total, code = now(), {}, [], -1, ""
        while True:
            reply = await self._roundtrip(f"LIST.{address}", json.dumps(fields).encode(), None)
            if reply is None:
                return None
            if "code" in reply:
                code = reply["code"]
                break
            total = reply["total"] if total < 0 else total
            seen += [_listed(address, message) for message in reply["messages"]]
            if "next" not in reply:
                break
            fields = {"cursor": reply["next"]}
        listing = Listing(self.name, address, begun, now(), total, seen, code, is_final)
        self.history.add(listing)
        return listing

    async def _request(
        self,
        verb: str,
        address: str,
        asked: dict[str, Any],
        subject: str,
        body: bytes,
        headers: dict[str, str] | None = None,
        wants_reply: bool = True,
    ) -> Request:
        request = Request(verb, self.name, address, asked, now(), user=self.user)
        self.history.add(request)
        request.reply = await self._roundtrip(subject, body, headers, wants_reply)
        if request.reply is not None:
            request.ended = now()
        return request

    async def _roundtrip(
        self, subject: str, body: bytes, headers: dict[str, str] | None, wants_reply: bool = True
    ) -> dict[str, Any] | None:
        number = str(next(self._reply_numbers))
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._replies[number] = future
        try:
            reply_subject = f"{self.name}.{number}" if wants_reply else ""
            await self._nats.publish(MAILBOX + subject, body, reply_subject, headers=headers)
            return await asyncio.wait_for(future, self.patience) if wants_reply else None
        except asyncio.TimeoutError:
            self.unanswered += 1
            return None
        except Exception:
            return None
        finally:
            del self._replies[number]

    async def _on_reply(self, message: Msg) -> None:
        future = self._replies.get(message.subject.rpartition(".")[2])
        if future is not None and not future.done():
            future.set_result(json.loads(message.data))

    # Deliveries.

    async def subscribe(
        self, address: str, *, group: str = "", priority: str = "", on_delivery: OnDelivery | None = None
    ) -> Subscription:
        """Subscribe, and call `on_delivery` with each delivery, in a task of its own."""
        subscription = Subscription(next(_numbers), self.name, address, priority, group, now())
        self.history.add(subscription)

        async def on_message(message: Msg) -> None:
            delivery = self._record(subscription, message)
            if on_delivery is not None:
                # Not awaited: later deliveries are recorded when they arrive.
                task = asyncio.create_task(on_delivery(delivery))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

        subject = f"{MAILBOX}MSG.{address}" + (f".{priority}" if priority else "")
        try:
            nats_subscription = await self._nats.subscribe(subject, queue=group, cb=on_message)
            self._subscriptions[subscription.number] = subscription, nats_subscription
        finally:
            if not self.is_connected:
                subscription.ended, subscription.is_lost = now(), True
        return subscription

    async def unsubscribe(self, subscription: Subscription) -> None:
        _, nats_subscription = self._subscriptions.pop(subscription.number)
        # From here on its messages may go to others.
        subscription.ended = subscription.ended or now()
        with contextlib.suppress(Exception):
            await nats_subscription.unsubscribe()

    async def watch(self, address: str, *, detailed: bool = False) -> Watch:
        """Subscribe to the events of a mailbox; `detailed`: also to those of its messages."""
        watch = Watch(next(_numbers), self.name, address, detailed, now())
        self.history.add(watch)

        async def on_message(message: Msg) -> None:
            since = max(watch.begun, message.since)
            self.history.add(Event(watch.number, address, json.loads(message.data), now(), since))

        subject = f"{MAILBOX}EVENT.{address}" + (".*" if detailed else "")
        self._watches.append((watch, await self._nats.subscribe(subject, cb=on_message)))
        return watch

    def _record(self, subscription: Subscription, message: Msg) -> Delivery:
        name = message.reply.rpartition(".")[2]
        msg_id, dash, token = name.partition("-")
        last = message.subject.rpartition(".")[2]
        priority = last if last in ("urgent", "critical") else "normal"
        headers = dict(message.headers or {})
        seen = _sighting(subscription.address, int(msg_id), priority, message.data, headers)
        since = max(subscription.begun, message.since)
        delivery = Delivery(next(_numbers), subscription.number, seen, now(), since, dash + token)
        self.history.add(delivery)
        return delivery


def _sighting(address: str, msg_id: int, priority: str, payload: bytes, headers: dict[str, str]) -> Sighting:
    uid = read_uid(payload)
    if uid is not None and headers.get("Uid") != uid:
        uid = None
    text = "" if uid is not None else payload.decode(errors="replace")
    return Sighting(address, msg_id, priority, uid, headers, text)


def _listed(address: str, message: dict[str, Any]) -> Sighting:
    seen = _sighting(
        address,
        message["msg_id"],
        message["priority"],
        message.get("payload", "").encode(),
        message["headers"],
    )
    seen.is_delayed = "deliver_at" in message
    return seen
