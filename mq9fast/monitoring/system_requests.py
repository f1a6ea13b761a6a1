"""Answers nats-server's `$SYS.REQ.` requests with the pages of monitoring, kicks clients, reloads settings.

The engine calls a `SystemRequests` for each message that a client publishes to `$SYS.REQ.`. Every client may
ask who it is, and for the connections and totals of its account, if its permissions let it publish to these
subjects. What is about the server needs a user with `system = true`, as nats-server needs a user of its
system account.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from mq9fast._core.session import Session
from mq9fast.errors import StartError
from mq9fast.monitoring.broker_view import BrokerView
from mq9fast.monitoring.content_encoding import EncodedBody, accepted_encoding
from mq9fast.monitoring.page import ACCOUNT, HttpError, Page, Route, json_page
from mq9fast.monitoring.system_account import server_info, server_stats, user_info
from mq9fast.monitoring.system_options import (
    AccountzOptions,
    AccstatzOptions,
    ClientOptions,
    ConnzOptions,
    HealthzOptions,
    JszOptions,
    Options,
    SubszOptions,
    read_options,
)

log = logging.getLogger("mq9fast.system")

PREFIX = "$SYS.REQ."
# The page that answers a request about the server, by the last token of its subject, and its options.
SERVER_PAGES: dict[str, tuple[str, type[Options]]] = {
    "VARZ": ("/varz", Options),
    "CONNZ": ("/connz", ConnzOptions),
    "SUBSZ": ("/subsz", SubszOptions),
    "ROUTEZ": ("/routez", Options),
    "GATEWAYZ": ("/gatewayz", Options),
    "LEAFZ": ("/leafz", Options),
    "ACCOUNTZ": ("/accountz", AccountzOptions),
}
# The same for a request about one account.
ACCOUNT_PAGES: dict[str, tuple[str, type[Options]]] = {
    "CONNZ": ("/connz", ConnzOptions),
    "SUBSZ": ("/subsz", SubszOptions),
    "LEAFZ": ("/leafz", Options),
}
# What a client may ask that is no system user. It is about the account of the client only.
FOR_ALL = {"USER.INFO", "SERVER.PING.CONNZ", "ACCOUNT.PING.CONNZ", "ACCOUNT.PING.STATZ"}
# The place of the account in such a request, which stands for that of the client.
OWN_ACCOUNT = "PING"
# Answers are made one at a time. A request past so many that wait gets an error.
MAX_WAITING = 256


class NotAskedError(Exception):
    """The options ask other servers. As on nats-server there is no answer."""


# Makes an answer for a client. Raises HttpError and NotAskedError.
Make = Callable[[Session, Any], Page]


class Answer(NamedTuple):
    """What answers a request: a function, and the options that it gets (None: the payload is ignored).

    `field`: where the answer has the page, next to `server`. "": the page is the answer.
    """

    make: Make
    options: type[Options] | None = Options
    field: str = "data"


class SystemRequests:
    """Answers the requests of one broker. `reload()` reloads its settings; it raises StartError."""

    def __init__(self, broker: BrokerView, routes: Mapping[str, Route], reload: Callable[[], None]) -> None:
        self._broker = broker
        self._routes = routes
        self._reload = reload
        self._sequence = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._one_at_a_time = asyncio.Lock()
        own = f"SERVER.{broker.handshake.server_id}."
        self._answers = {
            "USER.INFO": Answer(self._user_info, None),
            "SERVER.PING": Answer(self._statistics, field="statsz"),
            "ACCOUNT.PING.STATZ": Answer(self._account_statistics, AccstatzOptions),
            own + "RELOAD": Answer(self._reload_settings),
            own + "KICK": Answer(self._kick, ClientOptions),
            own + "LDM": Answer(self._send_lame_duck, ClientOptions),
        }
        for server in ("SERVER.PING.", own):
            for name, (path, options) in SERVER_PAGES.items():
                self._answers[server + name] = Answer(self._of_page(path), options)
            self._answers[server + "STATSZ"] = Answer(self._statistics, field="statsz")
            self._answers[server + "IDZ"] = Answer(self._identity, None, field="")
            self._answers[server + "HEALTHZ"] = Answer(self._health, HealthzOptions)
            self._answers[server + "JSZ"] = Answer(self._jetstream, JszOptions)
        # Those about one account, whose name is before the last token.
        self._account_answers = {
            name: Answer(self._of_page(path), options) for name, (path, options) in ACCOUNT_PAGES.items()
        }
        self._account_answers |= {
            "STATZ": Answer(self._account_statistics, AccstatzOptions),
            "INFO": Answer(self._account_info, AccountzOptions),
            "JSZ": Answer(self._no_jetstream, Options),
        }

    def __call__(self, client: Session, subject: bytes, payload: bytes, reply: bytes, header: bytes) -> bool:
        """Handle a message of a client. Returns whether the request is one that the broker answers to it."""
        name = subject.decode("utf-8", "replace").removeprefix(PREFIX)
        is_system = client.identity.system
        answer, account = self._find(name)
        if answer is None or not (is_system or name in FOR_ALL):
            return False
        if not reply:
            return True
        encoding = accepted_encoding(header)
        options = Options()
        try:
            if answer.options is not None:
                options = read_options(payload, answer.options)
        except (ValueError, RecursionError) as error:
            self._start(client, reply, encoding, "", HttpError(400, str(error)))
            return True
        if account or not is_system:
            options.choose(account or ACCOUNT)
        if options.is_about(self._broker.handshake.server_name, self._broker.settings.host):
            self._start(client, reply, encoding, answer.field, lambda: answer.make(client, options))
        return True

    def _find(self, name: str) -> tuple[Answer | None, str]:
        """What answers a request, and the account that it is about, "" if it names none."""
        found = self._answers.get(name)
        kind, _, rest = name.partition(".")
        if found is not None or kind != "ACCOUNT":
            return found, ""
        account, _, page = rest.partition(".")
        return self._account_answers.get(page), ACCOUNT if account == OWN_ACCOUNT else account

    def close(self) -> None:
        """Make no more answers."""
        for task in self._tasks:
            task.cancel()

    # Answers.

    def _of_page(self, path: str) -> Make:
        return lambda _client, options: self._routes[path](options.query())

    def _health(self, _client: Session, options: HealthzOptions) -> Page:
        page = self._routes["/healthz"](options.query())
        return json_page({**_decoded(page), "status_code": page.status})

    def _jetstream(self, _client: Session, options: JszOptions) -> Page:
        if options.leader_only:
            raise NotAskedError
        return self._routes["/jsz"]("")

    def _no_jetstream(self, _client: Session, _options: Options) -> Page:
        raise HttpError(500, "jetstream not enabled")

    def _account_info(self, _client: Session, options: AccountzOptions) -> Page:
        return json_page(_decoded(self._routes["/accountz"](options.query()))["account_detail"])

    def _account_statistics(self, _client: Session, options: AccstatzOptions) -> Page:
        page = self._routes["/accstatz"](options.query())
        if not _decoded(page)["account_statz"] and not options.include_unused:
            raise NotAskedError
        return page

    def _user_info(self, client: Session, _options: Options) -> Page:
        return json_page(user_info(self._broker.settings, client.identity))

    def _identity(self, _client: Session, _options: Options) -> Page:
        head = server_info(self._broker, 0)
        return json_page({name: head[name] for name in ("name", "host", "id")})

    def _statistics(self, _client: Session, _options: Options) -> Page:
        return json_page(server_stats(self._broker, self._routes))

    def _reload_settings(self, _client: Session, _options: Options) -> Page:
        try:
            self._reload()
        except StartError as error:
            raise HttpError(500, str(error)) from None
        return Page(200, "", ())

    def _kick(self, client: Session, options: ClientOptions) -> Page:
        kicked = self._broker.connections.get(options.cid)
        if kicked is None:
            raise HttpError(500, "no such client or leafnode id")
        log.info("%s kicks %s:%d", client.identity.name, *kicked.peer)
        kicked.kick()
        return Page(200, "", ())

    def _send_lame_duck(self, client: Session, options: ClientOptions) -> Page:
        found = self._broker.connections.get(options.cid)
        if found is None:
            raise HttpError(500, "no such client id")
        log.info("%s tells %s:%d to connect elsewhere", client.identity.name, *found.peer)
        found.send_info(lame_duck=True)
        return Page(200, "", ())

    # Sending them.

    def _start(
        self, client: Session, reply: bytes, encoding: str, field: str, make: Callable[[], Page] | HttpError
    ) -> None:
        if len(self._tasks) >= MAX_WAITING:
            make = HttpError(503, "too many requests wait for their answers: ask again later")
        task = asyncio.get_running_loop().create_task(self._answer(client, reply, encoding, field, make))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(
        self, client: Session, reply: bytes, encoding: str, field: str, make: Callable[[], Page] | HttpError
    ) -> None:
        """Make an answer in pieces, as HTTP pages are made, and send it."""
        async with self._one_at_a_time:
            self._sequence += 1
            try:
                if isinstance(make, HttpError):
                    raise make
                try:
                    page = make()
                except HttpError as error:
                    # As on nats-server, options that can be read and not be used are no bad request.
                    raise HttpError(500, error.sentence) from None
                body = await self._encode(page, field, encoding)
            except NotAskedError:
                return
            except HttpError as error:
                text = msgspec.json.encode({"code": error.status, "description": error.sentence})
                # As on nats-server, an error is not encoded.
                body = await self._encode(Page(error.status, "", (text,)), "error", "")
            self._broker.engine.router.reply(client, reply, body.end(), body.header)

    async def _encode(self, page: Page, field: str, encoding: str) -> EncodedBody:
        """A page as a field of an answer. Raises HttpError if that is larger than a message may be."""
        body = EncodedBody(encoding)
        start = b""
        if field:
            body.add(b'{"server":' + msgspec.json.encode(server_info(self._broker, self._sequence)))
            start = b',"%b":' % field.encode()
        for piece in page.pieces:
            body.add(start + piece)
            start = b""
            if body.size + len(body.header) > self._broker.settings.max_payload:
                raise HttpError(500, "the answer is larger than max_payload: ask for fewer entries")
            await asyncio.sleep(0)
        if field:
            body.add(b"}")
        return body


def _decoded(page: Page) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(b"".join(page.pieces))
    return decoded
