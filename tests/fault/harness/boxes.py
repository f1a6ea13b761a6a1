"""The mailboxes of the random workload, each with other options, and what clients send to them."""

import random
import time
from datetime import datetime, timezone
from typing import Any

from tests.fault.history.model import RANKS

# An address in an option or header is completed with the prefix of the workload.
OPTIONS: dict[str, dict[str, Any]] = {
    "work": {},
    "tasks": {},
    "leases": {
        "ack_wait": 0.4,
        "max_deliver": 3,
        "max_in_flight": 4,
        "backoff": [0, 0.1],
        "dead_letter": "dead",
    },
    "aged": {"max_age": 1.2, "dead_letter": "dead", "dead_letter_expired": True},
    "dead": {},
    "later": {},
    "status": {"max_messages": 1, "discard": "old"},
    "recent": {"max_messages": 15, "max_bytes": 40_000, "discard": "old"},
    "small": {"max_messages": 20},
    "light": {"max_bytes": 40_000},
    "keyed": {},
    "retried": {"duplicate_window": 60},
    "questions": {"receipts_to": "receipts"},
    "asker": {},
    "receipts": {},
}
ADDRESS_OPTIONS = ("dead_letter", "receipts_to")
# Those to which clients send, more often where more can go wrong.
TARGETS = (
    *("work",) * 3, *("tasks",) * 2, *("leases",) * 2,
    "aged", "later", "status", "recent", "small", "light", "keyed", "retried", "questions",
)  # fmt: skip
GROUPS = ("tasks", "leases")
# Values larger than about 1 KB go to the value log.
SIZES = (0, 20, 100, 100, 900, 3000, 20_000)


def options_of(box: str, prefix: str) -> dict[str, Any]:
    return {
        name: f"{prefix}.{value}" if name in ADDRESS_OPTIONS else value
        for name, value in OPTIONS[box].items()
    }


def headers_for(box: str, prefix: str, chance: random.Random) -> dict[str, str]:
    """The option headers of the next message for a mailbox."""
    match box:
        case "later":
            delay = chance.uniform(0.05, 1.5)
            if chance.random() < 0.5:
                return {"Mq9-Delay": f"{delay:.3f}"}
            due = datetime.fromtimestamp(time.time() + delay, timezone.utc)
            return {"Mq9-Deliver-At": due.isoformat(timespec="milliseconds")}
        case "keyed":
            return {"Mq9-Key": f"key-{chance.randrange(8)}"}
        case "retried":
            # The client is the only one with its ids: see `Sender`.
            return {"Nats-Msg-Id": f"id-{chance.randrange(10**12)}"}
        case "aged" if chance.random() < 0.5:
            return {"Nats-TTL": "1s"}
        case "questions":
            return {"Mq9-Reply-To": f"{prefix}.asker", "Mq9-Correlation-Id": str(chance.randrange(1000))}
        case "work":
            return chance.choice(
                (*({},) * 8, {"Mq9-Receipt-To": f"{prefix}.receipts"}, {"Mq9-From": "somebody else"})
            )
    return {}


def priority(chance: random.Random) -> str:
    return chance.choice(list(RANKS))
