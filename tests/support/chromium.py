"""A headless Chromium. Tests read and click its pages over the DevTools protocol."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request, TextMessage

from tests.support.waiting import WAIT_SECONDS, wait_until

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-extensions", "--no-proxy-server", "--remote-debugging-port=0"),
)


class Chromium:
    """A browser with its own profile in `directory`, which must be empty."""

    def __init__(self, directory: Path) -> None:
        assert CHROMIUM is not None
        self._log = directory / "log"
        active = directory / "profile" / "DevToolsActivePort"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [CHROMIUM, *FLAGS, f"--user-data-dir={directory / 'profile'}", "about:blank"],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            wait_until(lambda: active.exists() and "\n" in active.read_text(), WAIT_SECONDS)
        except AssertionError:
            self.end()
            raise AssertionError(f"Chromium did not start: {self._log.read_text()}") from None
        self._port = int(active.read_text().split()[0])

    def page(self, url: str) -> "Page":
        """Open a page in a new tab."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=WAIT_SECONDS)
        with contextlib.closing(connection):
            connection.request("PUT", f"/json/new?{url}")
            return Page(json.load(connection.getresponse())["webSocketDebuggerUrl"])

    def end(self) -> None:
        """Kill the browser and all processes that it started."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(WAIT_SECONDS)


class Page:
    """One tab."""

    def __init__(self, debugger: str) -> None:
        url = urlsplit(debugger)
        assert url.hostname
        self._socket = socket.create_connection((url.hostname, url.port or 80), timeout=WAIT_SECONDS)
        self._frames = WSConnection(ConnectionType.CLIENT)
        self._asked = 0
        self._text = ""
        self._answers: list[dict[str, Any]] = []
        self._socket.sendall(self._frames.send(Request(host=url.netloc, target=url.path)))

    def evaluate(self, expression: str) -> Any:
        """The value of an expression, or of the promise that it is; AssertionError if it throws."""
        self._asked += 1
        parameters = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        call = {"id": self._asked, "method": "Runtime.evaluate", "params": parameters}
        while not self._accepted():
            self._read()
        self._socket.sendall(self._frames.send(TextMessage(json.dumps(call))))
        while not (answers := [answer for answer in self._answers if answer.get("id") == self._asked]):
            self._read()
        self._answers.clear()
        result = answers[0]["result"]
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Wait until an expression is true."""
        wait_until(lambda: self.evaluate(f"Boolean({expression})"), WAIT_SECONDS)

    def _accepted(self) -> bool:
        return self._frames.state.name == "OPEN"

    def _read(self) -> None:
        data = self._socket.recv(65536)
        assert data, "Chromium is gone"
        self._frames.receive_data(data)
        for event in self._frames.events():
            assert isinstance(event, (AcceptConnection, TextMessage)), event
            if isinstance(event, TextMessage):
                self._text += event.data
                if event.message_finished:
                    self._answers.append(json.loads(self._text))
                    self._text = ""

    def __enter__(self) -> "Page":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
