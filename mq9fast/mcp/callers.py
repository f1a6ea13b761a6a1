"""The agents that a server over HTTP serves: which bearer token is which user of the broker.

They are in a TOML file, one table `[[agents]]` for each.
"""

import contextlib
import hashlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken

from mq9fast.client import BadContext, Mq9, Mq9Error
from mq9fast.client.server import Server, find_server
from mq9fast.mcp.agent import Agent
from mq9fast.mcp.tools import Tools

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MIN_BEARER = 16


class AgentEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`bearer`: what the client of MCP sends in the header `Authorization`. `address`: its mailbox.

    The others say how this agent signs in to the broker; `nkey` and `context` are files.
    """

    bearer: str
    address: str
    user: str = ""
    password: str = ""
    token: str = ""
    nkey: str = ""
    context: str = ""

    def server(self, base: Server) -> Server:
        """Where `base` is, with the credentials of this agent and no others. Raises BadContext."""
        given = {"url": base.url, "ca": base.ca, "cert": base.cert, "key": base.key}
        own = {"user": self.user, "password": self.password, "token": self.token, "nkey": self.nkey}
        return find_server({**given, **own}, self.context or None, environ={})


class _File(msgspec.Struct, forbid_unknown_fields=True):
    agents: list[AgentEntry] = []


def read_agents(file: Path) -> list[AgentEntry]:
    """Raises BadContext, with a sentence that has no secret."""
    try:
        agents = msgspec.convert(tomllib.loads(file.read_text()), _File).agents
    except (OSError, UnicodeDecodeError) as error:
        raise BadContext(f"The file {file} cannot be read: {error}.") from None
    except tomllib.TOMLDecodeError:
        # The error may quote the line.
        raise BadContext(f"The file {file} is not TOML.") from None
    except msgspec.ValidationError as error:
        raise BadContext(f"The file {file} is not valid: {error}.") from None
    if not agents:
        raise BadContext(f"The file {file} has no [[agents]].")
    for agent in agents:
        if len(agent.bearer) < MIN_BEARER:
            raise BadContext(
                f"The bearer token of {agent.address} is too short: give it {MIN_BEARER} characters or more."
            )
    if len({agent.bearer for agent in agents}) < len(agents):
        raise BadContext(f"Two agents in the file {file} have the same bearer token.")
    return agents


class Callers:
    """The tools of each agent, and the SDK's check of bearer tokens (its `TokenVerifier`)."""

    def __init__(self, tools: dict[str, Tools]) -> None:
        """`tools`: by the SHA-256 of the bearer token, so that a comparison tells nothing of the token."""
        self.tools = tools

    async def verify_token(self, token: str) -> AccessToken | None:
        """Which agent sends this token; None if there is none."""
        name = _hash(token)
        return AccessToken(token=token, client_id=name, scopes=[]) if name in self.tools else None

    def of_caller(self) -> Tools:
        """The tools of the agent that calls. Raises Mq9Error."""
        token = get_access_token()
        tools = self.tools.get(token.client_id) if token is not None else None
        if tools is None:
            raise Mq9Error("The call has no bearer token.")
        return tools


@contextlib.asynccontextmanager
async def connected(agents: list[AgentEntry], base: Server, timeout: float) -> AsyncIterator[Callers]:
    """Sign in as each agent, until the block ends. Raises Mq9Error, which names the agent."""
    async with contextlib.AsyncExitStack() as stack:
        tools: dict[str, Tools] = {}
        for entry in agents:
            try:
                mq9 = Mq9(entry.server(base), f"mq9fast mcp {entry.address}", None, timeout)
                await stack.enter_async_context(mq9)
                agent = await Agent.create(mq9, entry.address)
            except Mq9Error as error:
                error.args = (f"The agent {entry.address}: {error}",)
                raise
            tools[_hash(entry.bearer)] = Tools(agent, entry.user or None)
        yield Callers(tools)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
