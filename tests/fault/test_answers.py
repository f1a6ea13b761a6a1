"""Two approvers answer every question at the same time while the broker is killed: one decision for each."""

import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.support.broker import Broker
from tests.support.questions import block
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import MAILBOX, Message, Wire, read_messages

QUESTIONS = 1000
KILLS = 8
ROUND_SECONDS = 0.1


class Approver(threading.Thread):
    """Answers each question that it is sent with its own name, over all runs of the broker."""

    def __init__(self, broker: Broker, name: str) -> None:
        super().__init__(name=name)
        self.broker = broker
        self.finished = threading.Event()
        self.won: list[tuple[str, int]] = []
        self.lost = 0

    def run(self) -> None:
        while not self.finished.is_set():
            try:
                with Wire(self.broker.port) as wire:
                    self.answer_all(wire)
            except (OSError, EOFError, ValueError):
                time.sleep(0.02)

    def answer_all(self, wire: Wire) -> None:
        wire.sub(f"{self.name}.*", "replies")
        wire.subscribe("approvals")
        for message in read_messages(wire):
            if message.sid == "replies":
                self.note(message)
            elif message.payload == b"end":
                return
            else:
                wire.pub(message.reply, self.name, f"{self.name}.{message.msg_id}")

    def note(self, reply: Message) -> None:
        question = reply.subject.rpartition(".")[2]
        if reply.json["deleted"]:
            self.won.append((f"approvals/{question}", reply.json["answer"]["msg_id"]))
        else:
            self.lost += 1


def kill_while_they_answer(broker: Broker) -> None:
    for _ in range(KILLS):
        time.sleep(ROUND_SECONDS)
        broker.kill()
        broker.start()


@pytest.mark.parametrize("sync", ["always", "never"])
def test_each_question_has_one_answer_after_kills(start_broker: Callable[..., Broker], sync: str) -> None:
    broker = start_broker("--sync", sync)
    header = block(Mq9_Reply_To="asker", Mq9_Receipt="x")
    with Wire(broker.port) as wire:
        wire.create(name="approvals")
        wire.create(name="asker")
        frame = f"HPUB {MAILBOX}MSG.approvals {len(header)} {len(header)}\r\n".encode() + header + b"\r\n"
        for _ in range(0, QUESTIONS, 100):
            wire.send(frame * 100)
        wire.ping()
        assert wire.list("approvals", limit=1)["total"] == QUESTIONS
    approvers = [Approver(broker, name) for name in ("anna", "bert")]
    for approver in approvers:
        approver.start()
    kill_while_they_answer(broker)
    with Wire(broker.port) as wire:
        wait_until(lambda: wire.list("approvals", limit=1)["total"] == 0)
        for approver in approvers:
            approver.finished.set()
        wire.msg("approvals", "end")
        for approver in approvers:
            approver.join(WAIT_SECONDS)
            assert not approver.is_alive()
        answers = read_answers(wire)
    assert sorted(answers) == sorted(f"approvals/{n}" for n in range(QUESTIONS))
    for approver in approvers:
        for question, msg_id in approver.won:
            assert answers[question] == (msg_id, approver.name)
    won = Counter(question for approver in approvers for question, _ in approver.won)
    assert max(won.values()) == 1
    assert sum(won.values()) > QUESTIONS // 2


def read_answers(wire: Wire) -> dict[str, tuple[int, str]]:
    """The msg_id and body of each answer, by its question. No question may have two."""
    answers: dict[str, tuple[int, str]] = {}
    total = wire.list("asker", limit=1)["total"]
    wire.subscribe("asker")
    messages = read_messages(wire)
    for _ in range(total):
        message = next(messages)
        question = message.header.decode().partition("Mq9-In-Reply-To: ")[2].partition("\r\n")[0]
        assert question not in answers
        answers[question] = (message.msg_id, message.payload.decode())
    return answers
