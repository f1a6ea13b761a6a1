"""Checks the servers of the log before a node trusts them: each must fsync before it acknowledges.

nats-server tells that on its monitoring port only (`/jsz`), so `cluster_log_monitor` names these ports.
"""

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any

from nats.aio.client import Client

from mq9fast.config.settings import Settings
from mq9fast.errors import StartError

REPLICAS = 3
ASK_SECONDS = 2.0
RETRY_SECONDS = 0.5
# So long a start waits for servers that do not answer. They may be starting, too.
WAIT_SECONDS = 60.0


async def check_log_servers(settings: Settings) -> None:
    """Ask every server in `cluster_log_monitor`. Raises StartError if one does not answer, or does not fsync.

    One server that is down does not matter once a majority has answered: it is asked when it matters, by the
    node on its machine.
    """
    urls = [each.strip().rstrip("/") for each in (settings.cluster_log_monitor or "").split(",")]
    deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
    needed = len(urls) // 2 + 1
    while True:
        answers = await asyncio.gather(*(asyncio.to_thread(_ask, url) for url in urls))
        for url, answer in zip(urls, answers, strict=True):
            if isinstance(answer, dict):
                _judge(url, answer)
        failures = [each for each in answers if isinstance(each, str)]
        if len(urls) - len(failures) >= needed:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise StartError(f"cluster_log_monitor: {failures[0]}")
        await asyncio.sleep(RETRY_SECONDS)


async def check_replicas(client: Client, stream: str) -> None:
    """Raises StartError if a stream has fewer replicas than the promise of a cluster needs, NATS_ERRORS."""
    found = (await client.jetstream(timeout=ASK_SECONDS).stream_info(stream)).config.num_replicas or 1
    if found < REPLICAS:
        raise StartError(
            f"the stream {stream} has {found} replicas instead of {REPLICAS}: "
            f"nats stream edit {stream} --replicas {REPLICAS}"
        )


def _ask(url: str) -> dict[str, Any] | str:
    """What /jsz of one server says, or why it says nothing."""
    try:
        with urllib.request.urlopen(f"{url}/jsz", timeout=ASK_SECONDS) as answer:  # noqa: S310
            found = json.load(answer)
    except (OSError, ValueError) as error:
        return f"{url} does not answer: {getattr(error, 'reason', error)}"
    return found if isinstance(found, dict) else f"{url}/jsz is not of nats-server"


def _judge(url: str, answer: dict[str, Any]) -> None:
    """Raises StartError if acknowledged messages would not survive a power cut at this server."""
    if answer.get("disabled"):
        raise StartError(f"the server of the log at {url} has no JetStream: add jetstream to its settings")
    if not answer.get("config", {}).get("sync_always"):
        raise StartError(
            f"the server of the log at {url} acknowledges before it fsyncs: "
            "set sync_interval: always in the jetstream block of its settings"
        )
