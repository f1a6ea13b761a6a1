"""A program that runs its own broker, and needs no other.

python in_process.py
"""

import asyncio

import mq9fast


async def main() -> None:
    async with (
        mq9fast.Broker() as broker,
        mq9fast.connect(broker.url) as mq9,
        mq9.mailbox("agent.b") as inbox,
    ):
        await inbox.send("how far are you?")
        async with await inbox.next() as message:
            assert message.text == "how far are you?"
            print(f"{broker.url} delivered: {message.text}")


if __name__ == "__main__":
    asyncio.run(main())
