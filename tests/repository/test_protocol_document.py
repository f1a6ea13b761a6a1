"""Every example of docs/protocol.md, run line by line against a real broker.

The document explains the format of the examples under "Reading the examples". The examples of one chapter
run in order, on one broker, which starts with the flags after the fence of the first example.
"""

import json
import re
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from mq9fast.errors import SENTENCES
from tests.support.broker import Broker
from tests.support.wire_client import MAILBOX, Wire

DOCUMENT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
PLACEHOLDERS = {
    "secret": "[0-9a-f]{32}",
    "cursor": "[A-Za-z0-9_-]+",
    "end": "[A-Za-z0-9_-]+",
    "time": "[0-9]{10}",
    "token": "[0-9a-f]+",
}
FINAL_WRITE_SECONDS = 0.05


class Block(NamedTuple):
    """One fenced example: the number of its first line, and its lines."""

    line: int
    lines: list[str]


def read_chapters() -> dict[str, tuple[list[str], list[Block]]]:
    """Flags and examples of each chapter with examples, by heading."""
    chapters: dict[str, tuple[list[str], list[Block]]] = {}
    heading, block = "", None
    for number, line in enumerate(DOCUMENT.splitlines(), 1):
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif line.startswith("```mq9"):
            block = Block(number + 1, [])
            chapters.setdefault(heading, (line.split()[1:], []))[1].append(block)
        elif line.startswith("```"):
            block = None
        elif block is not None and line.startswith(" ") and block.lines:
            block.lines[-1] += line.strip()
        elif block is not None:
            block.lines.append(line)
    return chapters


CHAPTERS = read_chapters()


def sign_in(flags: list[str]) -> dict[str, str]:
    """The options of CONNECT for the user in a broker's flags, if there is one."""
    if "--user" not in flags:
        return {}
    return {"user": flags[flags.index("--user") + 1], "pass": flags[flags.index("--password") + 1]}


class Client:
    """One client of an example, line by line."""

    def __init__(self, broker: Broker) -> None:
        self.wire = Wire(broker.port, sign_in(list(broker.flags)))
        self.received: deque[str] = deque()
        self.unsent = ""
        self.requests = 0

    def queue(self, line: str) -> None:
        """Add a line to the next write."""
        self.unsent += line + "\r\n"

    def send(self) -> None:
        unsent, self.unsent = self.unsent, ""
        self.wire.send(unsent)

    def read(self) -> str:
        self.send()
        return self.received.popleft() if self.received else self.wire.line()

    def settle(self) -> None:
        """Wait until the broker has read everything sent."""
        self.queue("PING")
        self.send()
        while (line := self.wire.line()) != "PONG":
            self.received.append(line)

    def request(self, subject: str, payload: str) -> str:
        self.requests += 1
        inbox = f"_INBOX.{self.requests}"
        self.queue(f"SUB {inbox} inbox{self.requests}\r\nUNSUB inbox{self.requests} 1")
        self.queue(f"PUB {MAILBOX}{subject} {inbox} {len(payload.encode())}\r\n{payload}")
        self.send()
        while not (line := self.wire.line()).startswith(f"MSG {inbox} "):
            self.received.append(line)
        return self.wire.line()


class Example:
    """An example that runs against a broker."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.clients: dict[str, Client] = {}
        self.bound: dict[str, str] = {}
        self.reply = ""
        self.unsettled: Client | None = None

    def fill(self, text: str) -> str:
        """Replace placeholders whose values are known."""
        return re.sub(r"<(\w+)>", lambda found: self.bound.get(found[1], found[0]), text)

    def check(self, actual: str, documented: str) -> None:
        """Compare a line, and record the values of new placeholders."""
        pattern = ""
        named: set[str] = set()
        for text, name in re.findall(r"(.*?)(?:<(\w+)>|$)", self.fill(documented), re.DOTALL):
            pattern += re.escape(text)
            value = PLACEHOLDERS.get(name.rstrip("0123456789"), "")
            if name in named:
                pattern += f"(?P={name})"
            elif name == "time":
                # The clock may go on between two of them.
                pattern += value
            elif name:
                pattern += f"(?P<{name}>{value})"
                named.add(name)
        found = re.fullmatch(pattern, actual)
        assert found, f"\ndocumented: {documented}\nthe broker: {actual}"
        self.bound |= found.groupdict()

    def step(self, line: str) -> None:
        if wait := re.fullmatch(r"\.\.\. ([\d.]+) s", line):
            time.sleep(float(wait[1]))
            return
        found = re.fullmatch(r"(\w+) ([<>?=]|leaves)(?: (.*))?", line)
        assert found, f"this line does not have the format: {line!r}"
        name, sign, text = found[1], found[2], found[3] or ""
        if self.unsettled is not None and self.unsettled is not self.clients.get(name):
            self.unsettled.settle()
            self.unsettled = None
        if name not in self.clients:
            self.clients[name] = Client(self.broker)
        client = self.clients[name]
        if sign == ">":
            client.queue(self.fill(text))
            self.unsettled = client
        elif sign == "<":
            self.check(client.read(), text)
        elif sign == "?":
            subject, _, payload = self.fill(text).partition(" ")
            self.reply = client.request(subject, payload)
        elif sign == "=":
            self.check(self.reply, compact(text))
        else:
            self.clients.pop(name).wire.close()

    def end(self) -> None:
        """Check that the broker sends nothing that the example leaves out."""
        for _ in range(2):
            for name, client in self.clients.items():
                client.settle()
                assert not client.received, f"{name} also received {list(client.received)}"
            time.sleep(FINAL_WRITE_SECONDS)

    def close(self) -> None:
        for client in self.clients.values():
            client.wire.close()


def compact(text: str) -> str:
    """JSON as the broker writes it: without blanks outside strings."""
    return re.sub(r'("(?:[^"\\]|\\.)*")|\s+', lambda found: found[1] or "", text)


@pytest.mark.parametrize("heading", CHAPTERS)
def test_examples_of_a_chapter_match_the_broker(heading: str, start_broker: Callable[..., Broker]) -> None:
    flags, blocks = CHAPTERS[heading]
    broker = start_broker(*flags)
    for block in blocks:
        example = Example(broker)
        line = ""
        try:
            for line in block.lines:
                example.step(line)
            example.end()
        except (AssertionError, OSError, EOFError) as error:
            raise AssertionError(
                f"docs/protocol.md, example at line {block.line}: {line!r}: {error}"
            ) from None
        finally:
            example.close()


def test_every_error_code_is_documented_with_its_sentence() -> None:
    chapter = DOCUMENT.partition("\n## Errors\n")[2].partition("\n## ")[0]
    documented = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", chapter, re.MULTILINE))
    assert documented == SENTENCES


def test_requests_in_examples_are_json() -> None:
    requests = re.findall(r"^\w+ \? (?:CREATE|LIST)\S* (\{.*\})$", DOCUMENT, re.MULTILINE)
    assert all(isinstance(json.loads(request), dict) for request in requests)
