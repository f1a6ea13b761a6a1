"""Answers nats-server's `$SYS.REQ.` requests with the pages of monitoring, kicks clients, reloads settings.

The engine calls a `SystemRequests` for each message that a client publishes to `$SYS.REQ.`. Every client may
ask who it is, and for the connections and totals of its account, if its permissions let it publish to these
subjects. What is about the server needs a user with `system = true`, as nats-server needs a user of its
system account.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from urllib.parse import urlencode

import msgspec

from mq9fast._core.session import Session
from mq9fast.errors import StartError
from mq9fast.monitoring.broker_view import BrokerView
from mq9fast.monitoring.content_encoding import EncodedBody, accepted_encoding
from mq9fast.monitoring.page import ACCOUNT, HttpError, Page, Route, json_page
from mq9fast.monitoring.system_account import account_info, server_info, server_stats, user_info

log = logging.getLogger("mq9fast.system")

PREFIX = "$SYS.REQ."
# The page that answers a request about the server, by the last token of its subject.
SERVER_PAGES = {f"{name}Z": f"/{name.lower()}z" for name in ("VAR", "CONN", "SUBS", "JS", "ROUTE")}
SERVER_PAGES |= {"GATEWAYZ": "/gatewayz", "LEAFZ": "/leafz", "ACCOUNTZ": "/accountz"}
ACCOUNT_PAGES = {"CONNZ": "/connz", "SUBSZ": "/subsz", "STATZ": "/accstatz", "LEAFZ": "/leafz", "JSZ": "/jsz"}
# What a client may ask that is no system user. It is about the account of the client only.
FOR_ALL = {"USER.INFO", "SERVER.PING.CONNZ", "ACCOUNT.PING.CONNZ", "ACCOUNT.PING.STATZ"}
# Answers are made one at a time. A request past so many that wait gets an error.
MAX_WAITING = 256
STATES = ("open", "closed", "any")


class Options(msgspec.Struct):
    """The options of a request: those of the pages, those that say which servers are asked, and a client."""

    server_name: str = ""
    host: str = ""
    cluster: str = ""
    domain: str = ""
    tags: list[str] = []
    exact_match: bool = False
    sort: str = ""
    auth: bool = False
    subscriptions: bool = False
    subscriptions_detail: bool = False
    offset: int = 0
    limit: int = 0
    cid: int = 0
    mqtt_client: str = ""
    filter_subject: str = ""
    state: int = 0
    user: str = ""
    acc: str = ""
    account: str = ""
    test: str = ""
    include_unused: bool = False

    def query(self) -> str:
        """The options of pages as the query of a URL."""
        chosen = {
            "sort": self.sort,
            "auth": int(self.auth),
            "subs": "detail" if self.subscriptions_detail else str(self.subscriptions).lower(),
            "offset": self.offset,
            "limit": self.limit,
            "cid": self.cid,
            "mqtt_client": self.mqtt_client,
            "filter_subject": "" if self.filter_subject == ">" else self.filter_subject,
            "state": STATES[self.state] if 0 <= self.state < len(STATES) else self.state,
            "user": self.user,
            "acc": self.acc or self.account,
            "test": self.test,
            "unused": int(self.include_unused),
        }
        return urlencode({name: value for name, value in chosen.items() if value not in {"", 0, "false"}})


# Makes an answer for a client. Raises HttpError.
Answer = Callable[[Session, Options], Page]


class SystemRequests:
    """Answers the requests of one broker. `reload()` reloads its settings; it raises StartError."""

    def __init__(self, broker: BrokerView, routes: Mapping[str, Route], reload: Callable[[], None]) -> None:
        self._broker = broker
        self._routes = routes
        self._reload = reload
        self._sequence = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._one_at_a_time = asyncio.Lock()
        self._answers: dict[str, Answer] = {"USER.INFO": self._user_info, "SERVER.PING": self._statistics}
        for account in ("PING", ACCOUNT):
            for name, path in ACCOUNT_PAGES.items():
                self._answers[f"ACCOUNT.{account}.{name}"] = self._of_page(path)
        self._answers[f"ACCOUNT.{ACCOUNT}.INFO"] = lambda *_: json_page(account_info(broker, ACCOUNT))
        own = f"SERVER.{broker.handshake.server_id}."
        for server in ("SERVER.PING.", own):
            for name, path in SERVER_PAGES.items():
                self._answers[server + name] = self._of_page(path)
            self._answers[server + "STATSZ"] = self._statistics
            self._answers[server + "HEALTHZ"] = self._health
        self._answers |= {
            own + "RELOAD": self._reload_settings,
            own + "KICK": self._kick,
            own + "LDM": self._send_lame_duck,
        }

    def __call__(self, client: Session, subject: bytes, payload: bytes, reply: bytes, header: bytes) -> bool:
        """Handle a message of a client. Returns whether the request is one that the broker answers to it."""
        name = subject.decode("utf-8", "replace").removeprefix(PREFIX)
        is_system = client.identity.system
        answer = self._answers.get(name)
        if answer is None or not (is_system or name in FOR_ALL):
            return False
        if not reply:
            return True
        encoding = accepted_encoding(header)
        try:
            options = msgspec.json.decode(payload, type=Options) if payload else Options()
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._start(client, reply, encoding, name, HttpError(400, str(error)))
            return True
        if not is_system:
            options.acc = options.account = ACCOUNT
        if self._is_asked(options):
            self._start(client, reply, encoding, name, lambda: answer(client, options))
        return True

    def close(self) -> None:
        """Make no more answers."""
        for task in self._tasks:
            task.cancel()

    def _is_asked(self, options: Options) -> bool:
        """Whether the options that choose servers choose this one."""
        info = server_info(self._broker, 0)
        if options.cluster or options.domain or options.tags:
            return False
        if options.exact_match:
            return options.server_name in {"", info["name"]} and options.host in {"", info["host"]}
        return options.server_name in info["name"] and options.host in info["host"]

    # Answers.

    def _of_page(self, path: str) -> Answer:
        return lambda _client, options: self._routes[path](options.query())

    def _health(self, _client: Session, _options: Options) -> Page:
        page = self._routes["/healthz"]("")
        return json_page({**msgspec.json.decode(b"".join(page.pieces)), "status_code": page.status})

    def _user_info(self, client: Session, _options: Options) -> Page:
        return json_page(user_info(self._broker.settings, client.identity))

    def _statistics(self, _client: Session, _options: Options) -> Page:
        return json_page(server_stats(self._broker, self._routes))

    def _reload_settings(self, _client: Session, _options: Options) -> Page:
        try:
            self._reload()
        except StartError as error:
            raise HttpError(500, str(error)) from None
        return Page(200, "", ())

    def _kick(self, client: Session, options: Options) -> Page:
        kicked = self._broker.connections.get(options.cid)
        if kicked is None:
            raise HttpError(500, "no such client or leafnode id")
        log.info("%s kicks %s:%d", client.identity.name, *kicked.peer)
        kicked.kick()
        return Page(200, "", ())

    def _send_lame_duck(self, client: Session, options: Options) -> Page:
        found = self._broker.connections.get(options.cid)
        if found is None:
            raise HttpError(500, "no such client id")
        log.info("%s tells %s:%d to connect elsewhere", client.identity.name, *found.peer)
        found.send_info(lame_duck=True)
        return Page(200, "", ())

    # Sending them.

    def _start(
        self, client: Session, reply: bytes, encoding: str, name: str, make: Callable[[], Page] | HttpError
    ) -> None:
        if len(self._tasks) >= MAX_WAITING:
            make = HttpError(503, "too many requests wait for their answers: ask again later")
        task = asyncio.get_running_loop().create_task(self._answer(client, reply, encoding, name, make))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(
        self, client: Session, reply: bytes, encoding: str, name: str, make: Callable[[], Page] | HttpError
    ) -> None:
        """Make an answer in pieces, as HTTP pages are made, and send it."""
        async with self._one_at_a_time:
            self._sequence += 1
            field = "statsz" if name.endswith(("SERVER.PING", "STATSZ")) else "data"
            try:
                if isinstance(make, HttpError):
                    raise make
                body = await self._encode(make(), field, encoding)
            except HttpError as error:
                text = msgspec.json.encode({"code": error.status, "description": error.sentence})
                # As on nats-server, an error is not encoded.
                body = await self._encode(Page(error.status, "", (text,)), "error", "")
            self._broker.engine.router.reply(client, reply, body.end(), body.header)

    async def _encode(self, page: Page, field: str, encoding: str) -> EncodedBody:
        """A page as a field of an answer. Raises HttpError if that is larger than a message may be."""
        body = EncodedBody(encoding)
        body.add(b'{"server":' + msgspec.json.encode(server_info(self._broker, self._sequence)))
        start = b',"%b":' % field.encode()
        for piece in page.pieces:
            body.add(start + piece)
            start = b""
            if body.size + len(body.header) > self._broker.settings.max_payload:
                raise HttpError(500, "the answer is larger than max_payload: ask for fewer entries")
            await asyncio.sleep(0)
        body.add(b"}")
        return body
