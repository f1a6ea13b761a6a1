"""Calls of tools by the client of MCP's SDK."""

from typing import Any


async def call(client: Any, tool: str, **arguments: Any) -> dict[str, Any]:
    """The structured result of a tool that succeeds."""
    result = await client.call_tool(f"mq9_{tool}", arguments)
    assert not result.is_error, result.content
    structured: dict[str, Any] = result.structured_content
    return structured


async def failure(client: Any, tool: str, **arguments: Any) -> str:
    """What a tool that fails says."""
    result = await client.call_tool(f"mq9_{tool}", arguments)
    assert result.is_error
    return str(result.content[0].text)
