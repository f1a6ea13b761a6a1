"""`mq9fast mcp`: give a language model mailboxes, by the Model Context Protocol."""

from typing import Annotated

import typer

from mq9fast.cli.client_command import Mq9, Output, client_command
from mq9fast.cli.errors import CliError
from mq9fast.cli.status import Status


@client_command(until_interrupted=True)
async def command(
    mq9: Mq9,
    output: Output,
    address: Annotated[str, typer.Argument(help="Mailbox of this agent; without it, one is generated.")] = "",
    http: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Serve over HTTP, for all that reach this port.")
    ] = "",
) -> None:
    """Serve tools for mailboxes to a client of MCP, on standard input and output.

    The tools do what the user may do that it signs in as. What the agent holds comes back if it dies.
    """
    # Needs the packages of the extra mq9fast[mcp].
    from mq9fast.mcp.server import serve

    await serve(mq9, address, _host_and_port(http) if http else None)


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise CliError(f"mcp: '{text}' is not host:port", status=Status.USAGE)
    return host, int(port)
