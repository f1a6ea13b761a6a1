"""Requests for approval as an agent sends them, and the users of a broker that decide them."""

import json
import time
from typing import Any

from mq9fast.client.approval import Action, digest
from tests.support.wire_client import Wire

# Approvers may read their mailbox, settle its messages, and see who did. The agent may do everything.
USERS = """
[[users]]
user = "agent"
password = "agent-password"
system = true

[[users]]
user = "zhang"
password = "zhang-password"
[users.permissions]
publish = ["$mq9.AI.MAILBOX.LIST.>", "$mq9.AI.MAILBOX.DELETE.approver.zhang.*"]
subscribe = ["_INBOX.>", "$mq9.AI.MAILBOX.MSG.approver.zhang", "$mq9.AI.MAILBOX.EVENT.approver.zhang.*"]

[[users]]
user = "li"
password = "li-password"
[users.permissions]
publish = ["$mq9.AI.MAILBOX.LIST.>", "$mq9.AI.MAILBOX.DELETE.approver.zhang.*"]
subscribe = ["_INBOX.>", "$mq9.AI.MAILBOX.MSG.approver.zhang", "$mq9.AI.MAILBOX.EVENT.approver.zhang.*"]
"""
AGENT = {"user": "agent", "pass": "agent-password"}


def request(title: str, action: str = "deploy", expires: float | None = None, **more: Any) -> dict[str, Any]:
    """The body of a request. Its arguments are `arguments`, and other fields as given."""
    arguments = more.pop("arguments", {"version": "1.7"})
    what = Action(action, arguments)
    body = {
        "type": "approval.requested",
        "title": title,
        "action": {"name": action, "arguments": arguments},
        "action_digest": digest(what),
        **more,
    }
    return body if expires is None else {**body, "expires_at": time.time() + expires}


def ask(agent: Wire, title: str, priority: str = "urgent", **fields: Any) -> int:
    """Send a request to approver.zhang; the answer goes to agent.a. Returns its msg_id."""
    return send(agent, json.dumps(request(title, **fields)).encode(), priority)


def send(agent: Wire, body: bytes, priority: str = "urgent", reply_to: str | None = "agent.a") -> int:
    """Send any body to approver.zhang."""
    header = f"NATS/1.0\r\nMq9-Reply-To: {reply_to}\r\n\r\n".encode() if reply_to else b""
    address = "approver.zhang" if priority == "normal" else f"approver.zhang.{priority}"
    reply = agent.msg(address, body, header)
    return int(reply["msg_id"])


def decisions(agent: Wire) -> list[dict[str, Any]]:
    """What was decided, as the mailbox agent.a has it, with the name that the broker proves as `by`."""
    return [
        {**json.loads(message["payload"]), "by": message.get("from")}
        for message in agent.list("agent.a")["messages"]
    ]
