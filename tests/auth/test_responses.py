"""allow_responses: answers to messages of mailboxes, reloads, and how many reply subjects are kept.

tests/wire/responses.wire compares with nats-server.
"""

from pathlib import Path

from tests.support.configured_broker import ConfiguredBroker, StartBroker
from tests.support.waiting import WAIT_SECONDS
from tests.support.wire_client import MAILBOX, Wire

FREE = '[[users]]\nuser = "free"\npassword = "free"\n'
# The number of reply subjects that the broker keeps of one client.
MAX_REPLIES = 65536


def worker(limits: str) -> str:
    return FREE + f'[[users]]\nuser = "worker"\npassword = "worker"\npermissions.allow_responses = {limits}\n'


def violations(wire: Wire, *subjects: str) -> list[str]:
    """The subjects to which the client may not publish."""
    for subject in subjects:
        wire.pub(subject)
    wire.send("PING\r\n")
    denied = []
    while (line := wire.line(WAIT_SECONDS)) != "PONG":
        denied.append(line.partition('"')[2].partition('"')[0])
    return denied


def test_worker_answers_messages_of_a_mailbox_and_deletes_no_others(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", worker("true"))
    with broker.user("free") as free, broker.user("worker") as taker:
        free.create(name="task")
        free.msg("task", "first")
        free.msg("task", "second", b"")
        taker.send(f"SUB {MAILBOX}MSG.task workers 1\r\n")
        first, second = taker.messages(2)
        assert violations(taker, f"{MAILBOX}DELETE.task.7", first.reply) == [f"{MAILBOX}DELETE.task.7"]
        assert [it["payload"] for it in free.list("task")["messages"]] == ["second"]
        assert violations(taker, second.reply, second.reply) == [second.reply]
        assert free.list("task")["messages"] == []


def test_reload_keeps_reply_subjects_if_the_rules_stay(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", worker("true"))
    with broker.user("free") as free, broker.user("worker") as taker:
        taker.sub("work")
        taker.ping()

        def ask() -> None:
            free.pub("work", reply="answer")
            assert taker.message().reply == "answer"

        ask()
        broker.reload(worker("{ max = 1, expires = 120.0 }"))
        assert violations(taker, "answer") == []
        ask()
        broker.reload(worker("{ max = 2 }"))
        assert violations(taker, "answer") == ["answer"]
        ask()
        assert violations(taker, "answer", "answer", "answer") == ["answer"]
        broker.reload(worker("false"))
        ask()
        assert violations(taker, "answer", "other") == []


def test_oldest_reply_subjects_are_forgotten(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = ConfiguredBroker(
        start_broker, tmp_path / "mq9.toml", worker("{ max = 0, expires = 0 }"), "--sync", "never"
    )
    with broker.user("free") as free, broker.user("worker") as taker:
        taker.sub("work")
        taker.ping()
        for start in range(0, MAX_REPLIES + 2, 4096):
            numbers = range(start, min(start + 4096, MAX_REPLIES + 2))
            free.send("".join(f"PUB work r.{n} 0\r\n\r\n" for n in numbers))
            assert len(list(taker.messages(len(numbers)))) == len(numbers)
        last = MAX_REPLIES + 1
        assert violations(taker, "r.0", "r.1", "r.2", "r.2", f"r.{last}") == ["r.0", "r.1"]
