"""FastStream's NATS subscriber, unmodified: what its handler returns is the answer to a question."""

import asyncio
import json

from faststream.nats import NatsBroker

from tests.support.broker import Broker
from tests.support.questions import ask, stored
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import MAILBOX, Wire


def test_return_value_of_a_handler_is_the_answer(broker: Broker, wire: Wire, address: str) -> None:
    wire.create(name=address)
    wire.create(name=f"{address}.asker")
    questions = [f'{{"amount": {amount}}}' for amount in (100, 5000, 20)]
    for question in questions:
        ask(wire, address, question, f"{address}.asker", Content_Type="application/json")

    async def run() -> None:
        stream = NatsBroker(broker.url, logger=None)

        @stream.subscriber(f"{MAILBOX}MSG.{address}", queue="approvers")
        async def approve(question: dict[str, int]) -> dict[str, bool]:
            return {"approved": question["amount"] < 1000}

        async with stream:
            await stream.start()
            for _ in range(int(WAIT_SECONDS * 10)):
                if not await asyncio.to_thread(stored, wire, address):
                    return
                await asyncio.sleep(0.1)

    asyncio.run(run())
    wait_until(lambda: len(stored(wire, f"{address}.asker")) == 3)
    answers = {
        message["headers"]["Mq9-In-Reply-To"]: json.loads(message["payload"])["approved"]
        for message in stored(wire, f"{address}.asker")
    }
    assert answers == {f"{address}/0": True, f"{address}/1": False, f"{address}/2": True}
