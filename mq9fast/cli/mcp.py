"""`mq9fast mcp`: give a language model mailboxes, by the Model Context Protocol."""

import ipaddress
from pathlib import Path
from typing import Annotated

import typer

from mq9fast.cli import values
from mq9fast.cli.client_command import Mq9, Output, client_command
from mq9fast.cli.errors import CliError
from mq9fast.cli.status import Status

IDLE_SECONDS = 900.0


@client_command(until_interrupted=True, connects=False)
async def command(
    mq9: Mq9,
    output: Output,
    address: Annotated[str, typer.Argument(help="Mailbox of this agent; without it, one is generated.")] = "",
    http: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Serve over HTTP, at /mcp, for all that reach this port.")
    ] = "",
    agents: Annotated[
        str, typer.Option(metavar="FILE", help="With --http: which bearer token is which user.")
    ] = "",
    idle: Annotated[
        float | None,
        typer.Option(
            parser=values.seconds,
            metavar="TIME",
            help="With --http: when no call comes for so long, what the agent holds goes back (15m).",
        ),
    ] = None,
) -> None:
    """Serve tools for mailboxes to a client of MCP, on standard input and output.

    The tools do what the user may do that it signs in as. What the agent holds comes back if it dies.
    """
    place = _host_and_port(http) if http else None
    if agents and (place is None or address):
        raise CliError("mcp: --agents needs --http, and names the addresses itself", status=Status.USAGE)
    if place is not None and not agents and not _is_loopback(place[0]):
        raise CliError(
            f"mcp: without --agents, everybody who reaches {http} is this agent",
            "give --agents a file with bearer tokens, or listen on 127.0.0.1",
            status=Status.USAGE,
        )
    # These need the packages of the extra mq9fast[mcp].
    from mq9fast.mcp.callers import read_agents
    from mq9fast.mcp.server import Http, serve, serve_agents

    over_http = None if place is None else Http(*place, idle or IDLE_SECONDS)
    if over_http is not None and agents:
        await serve_agents(read_agents(Path(agents)), mq9, over_http)
        return
    async with mq9:
        await serve(mq9, address, over_http)


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise CliError(f"mcp: '{text}' is not host:port", status=Status.USAGE)
    return host.strip("[]"), int(port)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
