"""The eight scenarios on a cluster. In the middle of each the broker of the owner is killed: nothing is lost.

The cluster is started, and found by its clients, as docs/cluster.md tells a new user.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable

import pytest

import mq9fast
from mq9fast.client import Mq9
from tests.support.local_cluster import BROKER, LocalCluster, needs_nodes
from tests.support.waiting import START_SECONDS, wait_until, wait_until_async

pytestmark = needs_nodes
# The machine may be busy.
TIMEOUT_SECONDS = 60
TASKS, WORKERS = 12, 3

Kill = Callable[[], Awaitable[None]]
# Two clients, which live through the kill.
Scenario = Callable[[Mq9, Mq9, Kill], Awaitable[None]]


def kill_owner(cluster: LocalCluster) -> None:
    """As soon as one node owns and another one stands by."""
    wait_until(lambda: {"owner", "standby"} <= set(cluster.roles().values()), START_SECONDS)
    cluster.signal(cluster.owner(), BROKER, signal.SIGKILL)


def epoch(cluster: LocalCluster) -> int:
    """It rises with each owner."""
    return max(int(each["epoch"]) for each in cluster.states(cluster.owner()))


async def result_for_an_orchestrator(orchestrator: Mq9, agent: Mq9, kill: Kill) -> None:
    inbox = await orchestrator.mailbox(ttl=3600)
    await agent.send(inbox.address, {"task_id": "t-001"})
    await kill()
    await agent.send(inbox.address, {"task_id": "t-002"})
    assert [(await inbox.next()).body["task_id"] for _ in range(2)] == ["t-001", "t-002"]


async def status_of_workers(orchestrator: Mq9, worker: Mq9, kill: Kill) -> None:
    async def loads() -> list[float]:
        found = [box async for box in orchestrator.find("status.", with_latest=True)]
        return [box.latest.json()["load"] for box in found if box.latest is not None]

    async with worker.status("status.worker001") as first, worker.status("status.worker002") as second:
        await first.set({"load": 0.3})
        await second.set({"load": 0.1})
        assert await loads() == [0.3, 0.1]
        await kill()
        await second.set({"load": 0.9})
        assert await loads() == [0.3, 0.9]


async def tasks_of_competing_workers(orchestrator: Mq9, workers: Mq9, kill: Kill) -> None:
    tasks = list(range(TASKS))
    done: list[int] = []
    half = asyncio.Event()

    async def work() -> None:
        async for task in workers.group("task.queue", "task.workers"):
            async with task:
                done.append(task.body)
                if len(set(done)) == TASKS // 2:
                    half.set()
                    # It dies with the owner, or is asked again afterwards.
                    await kill()

    await orchestrator.create("task.queue", public=True)
    for task in tasks:
        await orchestrator.send("task.queue", task)
    working = [asyncio.create_task(work()) for _ in range(WORKERS)]

    async def is_empty() -> bool:
        return (await orchestrator.info("task.queue")).total == 0

    await wait_until_async(is_empty)
    assert half.is_set() and sorted(set(done)) == tasks
    for each in working:
        each.cancel()


async def alert_for_every_handler(payment: Mq9, handlers: Mq9, kill: Kill) -> None:
    await payment.create("alert.payment", public=True)
    watching = [handlers.watch("alert.payment") for _ in range(2)]
    await payment.send("alert.payment", "first", priority="critical")
    for each in watching:
        assert (await each.next()).text == "first"
    await kill()
    await payment.send("alert.payment", "second", priority="critical")
    # One that restarts gets what is stored, and so does one that connects again.
    for each in (*watching, handlers.watch("alert.payment")):
        seen = set()
        while seen < {"first", "second"}:
            seen.add((await each.next()).text)


async def commands_for_an_edge_device(cloud: Mq9, edge: Mq9, kill: Kill) -> None:
    address = (await edge.create(prefix="edge", ttl=3600)).mail_address
    await cloud.send(address, "report_status")
    await cloud.send(address, "update_config", priority="urgent")
    await kill()
    await cloud.send(address, "emergency_stop", priority="critical")
    commands = edge.watch(address)
    expected = ["emergency_stop", "update_config", "report_status"]
    assert [(await commands.next()).text for _ in expected] == expected
    assert [each.text async for each in edge.list(address)] == expected


async def approval_by_a_human(agent: Mq9, human: Mq9, kill: Kill) -> None:
    await human.create("approver.zhang", public=True)
    cost = {"cost": 50}
    ticket = await agent.send_approval_request("approver.zhang", "Call the API?", "call", cost)
    await kill()
    request = await human.group("approver.zhang", "people").next()
    assert request.approval().action.arguments == cost
    await request.decide("approve")
    assert (await agent.decision(ticket, action="call", arguments=cost)).approved


async def question_to_an_offline_agent(asker: Mq9, agent: Mq9, kill: Kill) -> None:
    await agent.create("agent.b")
    ticket = await asker.send_question("agent.b", "how far are you?")
    await kill()
    async with await agent.group("agent.b", "workers").next() as question:
        assert question.text == "how far are you?"
        await question.reply("72%")
    assert (await asker.answer(ticket, of=str)).body == "72%"


async def discovery_of_capabilities(orchestrator: Mq9, worker: Mq9, kill: Kill) -> None:
    await worker.create("capability.worker001", public=True, ttl=60, desc="data.analysis")
    await worker.create("capability.worker002", public=True, ttl=60, desc="text.generation")
    await kill()
    found = [box.mail_address async for box in orchestrator.find("capability.", need="data.analysis")]
    assert found == ["capability.worker001"]
    ticket = await orchestrator.send_question(found[0], "analyse")
    async with await worker.group(found[0], "inbox").next() as job:
        await job.reply("analysed")
    assert (await orchestrator.answer(ticket, of=str)).body == "analysed"


SCENARIOS: list[Scenario] = [
    result_for_an_orchestrator,
    status_of_workers,
    tasks_of_competing_workers,
    alert_for_every_handler,
    commands_for_an_edge_device,
    approval_by_a_human,
    question_to_an_offline_agent,
    discovery_of_capabilities,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_scenario(cluster: LocalCluster, scenario: Scenario) -> None:
    before = epoch(cluster)

    async def test() -> None:
        url = ",".join(cluster.urls)
        first, second = (mq9fast.connect(url, timeout=TIMEOUT_SECONDS) for _ in range(2))
        async with first, second:
            await scenario(first, second, lambda: asyncio.to_thread(kill_owner, cluster))

    asyncio.run(asyncio.wait_for(test(), 2 * TIMEOUT_SECONDS))
    assert epoch(cluster) > before
