"""The connection to the broker, by nats-py. No other module of the client knows nats-py."""

import asyncio
import base64
import contextlib
import itertools
import logging
import re
import secrets
import ssl
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

from nats import errors as nats_errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription

from mq9fast.client.errors import (
    BadRequest,
    ClientClosed,
    ConnectionLost,
    Mq9Error,
    NoBroker,
    NotMq9,
    PermissionDenied,
    SignInFailed,
    TimedOut,
)
from mq9fast.client.server import Server

logger = logging.getLogger("mq9fast.client")

RECONNECT_SECONDS = 0.25
# How often it connects if connections are reset, or end up useless, before the broker has replied.
CONNECT_TRIES = 3
# nats-py writes at once what is more than twice this.
LARGE_BYTES = 1 << 20
NO_RESPONDERS = "503"
# A node of a cluster that does not reply for so long is asked for a sign of life, and has so long to give it.
QUIET_SECONDS = 1.5
ALIVE_SECONDS = 1.5
# An owner that could not store something is asked again after this time: another one may follow.
UNAVAILABLE_SECONDS = 0.1
_UNAVAILABLE = b'"code":"store_unavailable"'
# The reply of an error is shorter.
MAX_ERROR_BYTES = 1000
_REFUSED = re.compile(r"permissions violation for (publish|subscription) to \"([^\"]+)\"", re.IGNORECASE)


class Delivery(NamedTuple):
    """A message as it came from the broker."""

    subject: str
    reply: str
    data: bytes
    headers: Mapping[str, str]


Receive = Callable[[Delivery], None]
Fail = Callable[[Mq9Error], None]


class Subscription:
    """A subscription. It goes on after a reconnect by itself, unless it has a limit: then it has ended."""

    def __init__(self, nats_subscription: NatsSubscription, subject: str, fail: Fail) -> None:
        self._nats = nats_subscription
        self.has_limit = nats_subscription._max_msgs > 0
        self.subject = subject
        self.fail = fail

    @property
    def is_open(self) -> bool:
        """Whether more messages may come."""
        return self._nats._max_msgs == 0 or self._nats.delivered < self._nats._max_msgs

    async def unsubscribe(self) -> None:
        """Leave. A queue group gets back what this member has not answered."""
        with contextlib.suppress(nats_errors.ConnectionClosedError, nats_errors.BadSubscriptionError):
            await self._nats.unsubscribe()


class Transport:
    """One connection. `lost` and `back` are called when it is lost and when it is there again."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name
        self.lost: list[Callable[[], None]] = []
        self._client = Client()
        self._closing = False
        self._attempt: asyncio.Future[None] | None = None
        self._connected = asyncio.Event()
        self._last_error: Exception | None = None
        self._inbox = ""
        self._tokens = itertools.count()
        self._own_ids = secrets.token_urlsafe(9)
        self._probe: asyncio.Task[None] | None = None
        # By token: the future of the reply, and the subject of the request.
        self._requests: dict[str, tuple[asyncio.Future[bytes], str]] = {}
        self._subscriptions: set[Subscription] = set()

    async def connect(self, timeout: float) -> None:
        """Raises NoBroker, SignInFailed, BadContext."""
        for tries_left in reversed(range(CONNECT_TRIES)):
            try:
                await self._connect_once(timeout)
                return
            except NoBroker:
                if tries_left == 0 or not isinstance(self._last_error, ConnectionResetError):
                    raise
                # The broker may have said why before it closed: nats-py may see the end first.
                self._client, self._closing, self._last_error = Client(), False, None

    async def _connect_once(self, timeout: float) -> None:
        options: dict[str, Any] = {}
        if self.server.nkey:
            options["signature_cb"] = self._sign_with_nkey()
        for option in ("user", "password", "token", "inbox_prefix"):
            if value := getattr(self.server, option):
                options[option] = value
        if tls := self.server.tls():
            options["tls"] = tls
        try:
            self._attempt = asyncio.ensure_future(
                self._client.connect(
                    self.server.urls,
                    name=self.name,
                    error_cb=self._on_error,
                    disconnected_cb=self._on_lost,
                    reconnected_cb=self._on_back,
                    closed_cb=self._on_closed,
                    connect_timeout=max(1, int(timeout)),
                    # It begins with one more try only, and tries for ever once it was connected.
                    max_reconnect_attempts=1,
                    reconnect_time_wait=RECONNECT_SECONDS,  # type: ignore[arg-type]
                    tls_handshake_first=self.server.tls_first,
                    **options,
                )
            )
            await asyncio.wait_for(self._attempt, timeout)
            if self._client.is_connecting:
                # nats-py took another line for the PONG that it waits for, and would never send anything.
                self._last_error = ConnectionResetError("it sent something else than PONG")
                raise self._last_error
            self._client.options["max_reconnect_attempts"] = -1
            self._inbox = self._client.new_inbox()
            await self._client.subscribe(f"{self._inbox}.*", cb=self._on_reply)
        except (OSError, nats_errors.Error, asyncio.TimeoutError, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and not isinstance(self._last_error, ssl.SSLError):
                raise
            # Before 2.13, nats-py cannot close what was never connected.
            with contextlib.suppress(AttributeError):
                await self._client.close()
            self._raise_not_connected(error)
        self._connected.set()

    def _sign_with_nkey(self) -> Callable[[str], bytes]:
        from nacl.signing import SigningKey

        key = SigningKey(self.server.seed())
        # nats-py sends it only if it has read the seed itself, for which it needs a package without wheels.
        self._client._public_nkey = _public_nkey(bytes(key.verify_key))
        return lambda nonce: base64.b64encode(key.sign(nonce.encode()).signature)

    def _raise_not_connected(self, error: BaseException) -> NoReturn:
        reason = self._last_error or error
        text = str(reason)
        if "authorization" in text.lower() or "authentication" in text.lower():
            raise SignInFailed(f"The broker at {self.server.shown} refuses the sign-in.") from None
        if isinstance(reason, ConnectionRefusedError):
            text = "the connection is refused"
        raise NoBroker(f"There is no broker at {self.server.shown}: {text or 'it does not reply'}.") from None

    async def close(self) -> None:
        """Send what waits, and close. Does nothing if it is closed."""
        self._closing = True
        if self._probe is not None:
            self._probe.cancel()
        if not self._connected.is_set():
            # nats-py would send what it keeps to the connection that is lost, and stop there.
            self._client._pending = []
            self._client._pending_data_size = 0
        if not self._client.is_closed:
            with contextlib.suppress(OSError):
                await self._client.close()
        self._fail_all(ClientClosed("The client is closed."))

    @property
    def is_connected(self) -> bool:
        return self._connected.is_set() and not self._client.is_closed

    async def request(
        self,
        subject: str,
        payload: bytes,
        timeout: float,
        headers: dict[str, str] | None = None,
        *,
        again: bool = False,
    ) -> bytes:
        """The reply to a request. `again`: if the connection is lost meanwhile, reconnect and send it again.
        In a cluster it does so, too, if the node gives no sign of life or says that its store is unavailable.

        Raises TimedOut, ConnectionLost, PermissionDenied, NotMq9, ClientClosed, BadRequest.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        while True:
            token = f"{next(self._tokens):x}"
            future: asyncio.Future[bytes] = loop.create_future()
            self._requests[token] = (future, subject)
            timers = [loop.call_at(end, _time_out, future, subject, timeout)]
            if again and self.in_cluster:
                timers.append(loop.call_later(QUIET_SECONDS, self._ask_for_a_sign))
            try:
                await self.publish(subject, payload, headers, reply=f"{self._inbox}.{token}")
                reply = await future
                if not (again and self.in_cluster and _UNAVAILABLE in reply[:MAX_ERROR_BYTES]):
                    return reply
                if loop.time() + UNAVAILABLE_SECONDS > end:
                    return reply
                await asyncio.sleep(UNAVAILABLE_SECONDS)
            except ConnectionLost:
                if not again:
                    raise
                await self._wait_until_connected(end, subject, timeout)
            finally:
                for timer in timers:
                    timer.cancel()
                self._requests.pop(token, None)

    @property
    def in_cluster(self) -> bool:
        """Whether the broker says that it is a node of a cluster."""
        return bool(self._client._server_info.get("cluster"))

    def new_id(self) -> str:
        """An id for a message that nobody else gives."""
        return f"{self._own_ids}-{next(self._tokens):x}"

    def _ask_for_a_sign(self) -> None:
        if self._probe is None or self._probe.done():
            self._probe = asyncio.ensure_future(self._reconnect_unless_alive())

    async def _reconnect_unless_alive(self) -> None:
        """A machine that is lost, or a process that is stopped, does not close its connections."""
        try:
            await self._client.flush(ALIVE_SECONDS)  # type: ignore[arg-type]
        except nats_errors.TimeoutError:
            if self._connected.is_set():
                logger.info("%s gives no sign of life", self.server.shown)
                await self._client._process_op_err(nats_errors.StaleConnectionError())
        except nats_errors.Error:
            pass  # the connection is lost, or closed

    async def _wait_until_connected(self, end: float, subject: str, timeout: float) -> None:
        left = end - asyncio.get_running_loop().time()
        try:
            await asyncio.wait_for(self._connected.wait(), max(left, 0))
        except asyncio.TimeoutError:
            raise _timed_out(subject, timeout) from None

    async def publish(
        self, subject: str, payload: bytes = b"", headers: dict[str, str] | None = None, reply: str = ""
    ) -> None:
        """Publish without waiting; while the connection is lost, keep it until it is there again.

        Raises ClientClosed, ConnectionLost (too much is kept), BadRequest.
        """
        try:
            await self._client.publish(subject, payload, reply, headers)
        except nats_errors.ConnectionClosedError:
            raise ClientClosed("The client is closed.") from None
        except nats_errors.OutboundBufferLimitError:
            raise ConnectionLost("The connection is lost, and too much waits to be sent.") from None
        except nats_errors.MaxPayloadError:
            size = len(payload)
            raise BadRequest(f"{size} bytes are more than the broker takes in one message.") from None
        except nats_errors.Error as error:
            raise BadRequest(f"{error}: {subject}") from None

    async def subscribe(
        self, subject: str, receive: Receive, fail: Fail, *, queue: str = "", limit: int = 0
    ) -> Subscription:
        """Call `receive` with each message, or with `limit` messages and no more.

        `fail` is called once if the broker refuses the subscription or the client is closed. While the
        connection is lost, this waits.
        """
        while self._client.is_reconnecting or not self._connected.is_set():
            self._connected.clear()
            await self._connected.wait()

        async def on_message(msg: Msg) -> None:
            try:
                receive(Delivery(msg.subject, msg.reply, msg.data, msg.headers or {}))
            except Exception as error:
                logger.exception("a message on %s could not be read", msg.subject)
                fail(Mq9Error(f"A message could not be read: {error}"))

        try:
            if self._client.pending_data_size > LARGE_BYTES:
                # A subscription and its limit leave together: see `_on_lost`.
                await self._client.flush()
            # Streams have limits of their own.
            of_nats = await self._client.subscribe(
                subject, queue, on_message, pending_msgs_limit=0, pending_bytes_limit=0
            )
            if limit:
                await of_nats.unsubscribe(limit)
        except nats_errors.ConnectionClosedError:
            raise ClientClosed("The client is closed.") from None
        except nats_errors.Error as error:
            raise BadRequest(f"{error}: {subject}") from None
        subscription = Subscription(of_nats, subject, fail)
        self._subscriptions.add(subscription)
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """The subscription has ended, or got its `limit`."""
        self._subscriptions.discard(subscription)

    async def _on_reply(self, msg: Msg) -> None:
        future, _ = self._requests.get(msg.subject.rpartition(".")[2], (None, ""))
        if future is None or future.done():
            return
        if msg.headers and msg.headers.get("Status") == NO_RESPONDERS and not msg.data:
            future.set_exception(NotMq9(f"The server at {self.server.shown} has no mailboxes."))
        else:
            future.set_result(msg.data)

    async def _on_error(self, error: Exception) -> None:
        self._last_error = error
        if isinstance(error, ssl.SSLError) and self._attempt is not None:
            # nats-py would wait for a connection that is not there any more.
            self._attempt.cancel()
        if refused := _REFUSED.search(str(error)):
            self._on_refused(refused[1].lower(), refused[2].lower())
        elif self._connected.is_set():
            logger.debug("connection to %s: %s", self.server.shown, error)

    def _on_refused(self, what: str, subject: str) -> None:
        """nats-py gives the subject in lower case."""
        if what == "subscription":
            for each in [each for each in self._subscriptions if each.subject.lower() == subject]:
                each.fail(PermissionDenied(f"The broker does not allow a subscription to '{each.subject}'."))
            return
        for future, requested in list(self._requests.values()):
            if requested.lower() == subject and not future.done():
                future.set_exception(
                    PermissionDenied(f"The broker does not allow a request to '{requested}'.")
                )

    async def _on_lost(self) -> None:
        if self._closing:
            return
        self._connected.clear()
        self._drop_pending_subscriptions()
        for window in [each for each in self._subscriptions if each.has_limit]:
            # nats-py would send the limit after the subscription, in a write of its own. Meanwhile the broker
            # could deliver more, which nats-py ignores: nobody else would get it.
            self.forget(window)
            await window.unsubscribe()
        logger.info("the connection to %s is lost", self.server.shown)
        for future, _ in list(self._requests.values()):
            if not future.done():
                future.set_exception(ConnectionLost("The connection was lost before the reply."))
        for each in self.lost:
            each()

    def _drop_pending_subscriptions(self) -> None:
        """nats-py subscribes again by itself. What it still keeps would be sent twice, or for nobody."""
        kept = [each for each in self._client._pending if not each.startswith((b"SUB ", b"UNSUB "))]
        self._client._pending = kept
        self._client._pending_data_size = sum(map(len, kept))

    async def _on_back(self) -> None:
        logger.info("connected to %s again", self.server.shown)
        self._connected.set()

    async def _on_closed(self) -> None:
        if not self._closing:
            self._closing = True
            self._fail_all(ClientClosed(f"The broker closed the connection: {self._client.last_error}."))

    def _fail_all(self, error: Mq9Error) -> None:
        for future, _ in list(self._requests.values()):
            if not future.done():
                future.set_exception(error)
        for each in list(self._subscriptions):
            each.fail(error)
        self._subscriptions.clear()
        # Wakes what waits for the connection: it then sees that the client is closed.
        self._connected.set()


def _timed_out(subject: str, timeout: float) -> TimedOut:
    return TimedOut(f"There was no reply within {timeout:g} s: {subject}")


def _time_out(future: "asyncio.Future[bytes]", subject: str, timeout: float) -> None:
    if not future.done():
        future.set_exception(_timed_out(subject, timeout))


def _public_nkey(key: bytes) -> str:
    """A user's public key as text: a prefix, the key, and a checksum, in Base32."""
    from binascii import crc_hqx

    data = bytes([20 << 3]) + key
    return base64.b32encode(data + crc_hqx(data, 0).to_bytes(2, "little")).decode().rstrip("=")
