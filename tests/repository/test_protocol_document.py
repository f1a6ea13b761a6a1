"""Every example of docs/protocol.md, walked line by line against a real broker.

How the examples read is said in the document itself, under "Reading the examples". The blocks of one chapter
are walked in order, on one broker that starts with the flags behind the fence of the first of them.
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
PLACEHOLDERS = {"secret": "[0-9a-f]{32}", "cursor": "[A-Za-z0-9_-]+", "time": r"[0-9]{10}"}
FINAL_WRITE_SECONDS = 0.05


class Block(NamedTuple):
    """One fenced example: the number of its first line, and its lines."""

    line: int
    lines: list[str]


def read_chapters() -> dict[str, tuple[list[str], list[Block]]]:
    """Flags and examples of each chapter that has any, by its heading."""
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


class Talker:
    """One client of an example, line by line."""

    def __init__(self, port: int) -> None:
        self.wire = Wire(port)
        self.heard: deque[str] = deque()
        self.unsaid = ""
        self.requests = 0

    def say(self, line: str) -> None:
        """Say a line, together with those that follow at once."""
        self.unsaid += line + "\r\n"

    def send(self) -> None:
        unsaid, self.unsaid = self.unsaid, ""
        self.wire.send(unsaid)

    def hear(self) -> str:
        self.send()
        return self.heard.popleft() if self.heard else self.wire.line()

    def settle(self) -> None:
        """Wait until the broker has read what was said."""
        self.say("PING")
        self.send()
        while (line := self.wire.line()) != "PONG":
            self.heard.append(line)

    def request(self, subject: str, payload: str) -> str:
        self.requests += 1
        inbox = f"_INBOX.{self.requests}"
        self.say(f"SUB {inbox} inbox{self.requests}\r\nUNSUB inbox{self.requests} 1")
        self.say(f"PUB {MAILBOX}{subject} {inbox} {len(payload.encode())}\r\n{payload}")
        self.send()
        while not (line := self.wire.line()).startswith(f"MSG {inbox} "):
            self.heard.append(line)
        return self.wire.line()


class Walk:
    """An example on its way through a broker."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.talkers: dict[str, Talker] = {}
        self.bound: dict[str, str] = {}
        self.reply = ""
        self.unsettled: Talker | None = None

    def fill(self, text: str) -> str:
        """Put in what placeholders stand for by now."""
        return re.sub(r"<(\w+)>", lambda found: self.bound.get(found[1], found[0]), text)

    def check(self, actual: str, documented: str) -> None:
        """Compare, and keep what a placeholder met for the first time stands for."""
        pattern = ""
        named: set[str] = set()
        for text, name in re.findall(r"(.*?)(?:<(\w+)>|$)", self.fill(documented), re.DOTALL):
            pattern += re.escape(text)
            if name:
                pattern += f"(?P={name})" if name in named else f"(?P<{name}>{PLACEHOLDERS[name]})"
                named.add(name)
        found = re.fullmatch(pattern, actual)
        assert found, f"\ndocumented: {documented}\nthe broker: {actual}"
        self.bound |= found.groupdict()

    def step(self, line: str) -> None:
        if wait := re.fullmatch(r"\.\.\. ([\d.]+) s", line):
            time.sleep(float(wait[1]))
            return
        found = re.fullmatch(r"(\w+) ([<>?=]|leaves)(?: (.*))?", line)
        assert found, f"this line is none of the format: {line!r}"
        name, sign, text = found[1], found[2], found[3] or ""
        if self.unsettled is not None and self.unsettled is not self.talkers.get(name):
            self.unsettled.settle()
            self.unsettled = None
        if name not in self.talkers:
            self.talkers[name] = Talker(self.broker.port)
        talker = self.talkers[name]
        if sign == ">":
            talker.say(self.fill(text))
            self.unsettled = talker
        elif sign == "<":
            self.check(talker.hear(), text)
        elif sign == "?":
            subject, _, payload = self.fill(text).partition(" ")
            self.reply = talker.request(subject, payload)
        elif sign == "=":
            self.check(self.reply, compact(text))
        else:
            self.talkers.pop(name).wire.close()

    def end(self) -> None:
        """Nothing is said that the example leaves out."""
        for _ in range(2):
            for name, talker in self.talkers.items():
                talker.settle()
                assert not talker.heard, f"{name} also heard {list(talker.heard)}"
            time.sleep(FINAL_WRITE_SECONDS)

    def close(self) -> None:
        for talker in self.talkers.values():
            talker.wire.close()


def compact(text: str) -> str:
    """JSON as the broker writes it: without blanks outside strings."""
    return re.sub(r'("(?:[^"\\]|\\.)*")|\s+', lambda found: found[1] or "", text)


@pytest.mark.parametrize("heading", CHAPTERS)
def test_the_examples_of_a_chapter_hold(heading: str, start_broker: Callable[..., Broker]) -> None:
    flags, blocks = CHAPTERS[heading]
    broker = start_broker(*flags)
    for block in blocks:
        walk = Walk(broker)
        line = ""
        try:
            for line in block.lines:
                walk.step(line)
            walk.end()
        except (AssertionError, OSError, EOFError) as error:
            raise AssertionError(
                f"docs/protocol.md, example at line {block.line}: {line!r}: {error}"
            ) from None
        finally:
            walk.close()


def test_every_error_is_documented_with_its_sentence() -> None:
    chapter = DOCUMENT.partition("\n## Errors\n")[2].partition("\n## ")[0]
    documented = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", chapter, re.MULTILINE))
    assert documented == SENTENCES


def test_examples_of_requests_hold_json() -> None:
    requests = re.findall(r"^\w+ \? (?:CREATE|LIST)\S* (\{.*\})$", DOCUMENT, re.MULTILINE)
    assert all(isinstance(json.loads(request), dict) for request in requests)
