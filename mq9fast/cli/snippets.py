"""What `mq9fast dev` prints to paste. `URL` stands for the broker's; tests/cli/test_dev.py runs each."""

from typing import NamedTuple


class Snippet(NamedTuple):
    """A piece of text to paste into a file or a shell."""

    title: str
    text: str


PYTHON = Snippet(
    "Python: pip install nats-py",
    """\
import asyncio, nats

async def main():
    nc = await nats.connect("URL")
    await nc.request("$mq9.AI.MAILBOX.CREATE", b'{"name": "agent.b"}')
    await nc.request("$mq9.AI.MAILBOX.MSG.agent.b", b"hello from Python")
    inbox = await nc.subscribe("$mq9.AI.MAILBOX.MSG.agent.b")
    message = await inbox.next_msg()
    print(message.data.decode())
    await message.respond(b"")  # deletes the message
    await nc.close()

asyncio.run(main())""",
)
TYPESCRIPT = Snippet(
    "TypeScript: npm install @nats-io/transport-node",
    """\
import { connect } from "@nats-io/transport-node";

const nc = await connect({ servers: "URL" });
await nc.request("$mq9.AI.MAILBOX.CREATE", '{"name": "agent.b"}');
await nc.request("$mq9.AI.MAILBOX.MSG.agent.b", "hello from TypeScript");
for await (const message of nc.subscribe("$mq9.AI.MAILBOX.MSG.agent.b")) {
  console.log(message.string());
  message.respond(); // deletes the message
  break;
}
await nc.drain();""",
)
SHELL = Snippet(
    "nats CLI: https://github.com/nats-io/natscli",
    """\
nats --server URL request '$mq9.AI.MAILBOX.CREATE' '{"name": "agent.b"}'
nats --server URL request '$mq9.AI.MAILBOX.MSG.agent.b' 'hello from a shell'
nats --server URL request '$mq9.AI.MAILBOX.LIST.agent.b' ''""",
)
SNIPPETS = (PYTHON, TYPESCRIPT, SHELL)
