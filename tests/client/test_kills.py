"""Askers, answerers and brokers are killed, and the answer arrives. Iterators survive a killed broker."""

import asyncio
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mq9fast.client import ClientClosed, Mq9
from tests.support import client_process
from tests.support.broker import Broker
from tests.support.client import connect
from tests.support.waiting import WAIT_SECONDS, wait_until, wait_until_async

ROOT = str(Path(__file__).parents[2])
PARTIES = ("asker", "answerer", "broker")


class Party:
    """The asker or the answerer, as a process whose output is in a file."""

    def __init__(self, role: str, url: str, directory: Path) -> None:
        self._command = [sys.executable, client_process.__file__, role, url, directory]
        self._output = directory / role
        self._errors = directory / f"{role}.errors"
        self.start()

    def start(self) -> None:
        with self._output.open("wb") as output, self._errors.open("ab") as errors:
            self.process = subprocess.Popen(
                self._command, stdout=output, stderr=errors, env={**os.environ, "PYTHONPATH": ROOT}
            )

    def says(self, *words: str) -> bool:
        assert self.process.poll() in (None, 0), self._errors.read_text()
        text = self._output.read_text()
        return all(word in text for word in words)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(WAIT_SECONDS)


@pytest.mark.parametrize("order", list(itertools.permutations(PARTIES)), ids="-".join)
def test_ask_and_approve_survive_kills(order: tuple[str, ...], tmp_path: Path) -> None:
    broker = Broker(tmp_path / "data")
    parties = {
        "asker": Party("ask", broker.url, tmp_path),
        "answerer": Party("answer", broker.url, tmp_path),
    }
    questions = (f"got {client_process.QUESTIONS}", f"got {client_process.APPROVALS}")
    # The port stays the same, so that clients find the broker again.
    broker.flags = (*broker.flags[:1], str(broker.port), *broker.flags[2:])
    try:
        wait_until(lambda: parties["asker"].says("asked"))
        wait_until(lambda: parties["answerer"].says(*questions))
        for victim in order:
            if victim == "broker":
                broker.restart(kill=True)
                continue
            parties[victim].kill()
            parties[victim].start()
            wait_until(lambda: parties["asker"].says("asked"))
            wait_until(lambda: parties["answerer"].says(*questions))
        (tmp_path / "go").touch()
        wait_until(lambda: parties["asker"].says("answer 72% approve"))
    finally:
        for party in parties.values():
            party.kill()
        broker.end()


def test_all_are_dead_at_once_and_the_ticket_still_gets_the_answer(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "data")
    tickets: list[str] = []

    async def ask() -> None:
        async with connect(broker.url) as mq9:
            await mq9.create("q")
            tickets.append(str(await mq9.send_question("q", "?")))

    async def answer() -> None:
        async with connect(broker.url) as mq9, mq9.group("q", "g") as group, await group.next() as message:
            await message.reply("!")

    async def read() -> None:
        async with connect(broker.url) as mq9:
            assert (await mq9.answer(tickets[0], of=str, timeout=WAIT_SECONDS)).body == "!"

    for step in (ask, answer, read):
        asyncio.run(step())
        broker.restart(kill=True)
    broker.end()


def test_client_closes_while_the_broker_is_gone(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker()

    async def run() -> None:
        async with connect(broker.url) as mq9, mq9.mailbox("q", ttl=60) as inbox, mq9.events("q") as events:
            await mq9.send("q", 1)
            message = await inbox.next()
            await events.next()
            broker.kill()
            await wait_until_async(lambda: is_lost(mq9))
            # It is kept for a connection that does not come.
            await message.done()
        with pytest.raises(ClientClosed):
            await mq9.send("q", 2)

    asyncio.run(asyncio.wait_for(run(), WAIT_SECONDS))


async def is_lost(mq9: Mq9) -> bool:
    return not mq9._transport.is_connected


async def is_empty(mq9: Mq9) -> bool:
    return (await mq9.info("tasks")).total == 0


def test_streams_and_sends_go_on_when_the_broker_is_back(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker()
    broker.flags = (*broker.flags[:1], str(broker.port), *broker.flags[2:])
    kills, messages = 3, 12

    async def work(mq9: Mq9, seen: list[int]) -> None:
        async for message in mq9.group("tasks", "g"):
            async with message:
                seen.append(message.body)

    async def run() -> None:
        async with connect(broker.url) as mq9:
            await mq9.create("tasks")
            seen: list[int] = []
            watched: set[int] = set()
            working = [asyncio.create_task(work(mq9, seen)) for _ in range(2)]
            watcher = mq9.watch("tasks")

            async def watch() -> None:
                async for message in watcher:
                    watched.add(message.body)

            watching = asyncio.create_task(watch())
            events = mq9.events("tasks")
            assert (await events.next()).event == "alive"
            for number in range(messages):
                if number % (messages // kills) == 0:
                    broker.kill()
                    sending = asyncio.create_task(mq9.send("tasks", number, id=f"n{number}"))
                    await asyncio.sleep(0.05)
                    await asyncio.to_thread(broker.start)
                    await sending
                else:
                    await mq9.send("tasks", number, id=f"n{number}")
            await wait_until_async(lambda: is_empty(mq9))
            assert set(seen) == set(range(messages))
            assert watched and {each.event for each in [await events.next()]} <= {"alive", "waiting"}
            assert not any(task.done() for task in (*working, watching))
            for task in (*working, watching):
                task.cancel()

    asyncio.run(asyncio.wait_for(run(), WAIT_SECONDS))
