"""Of two answers to a question one counts, and it is stored in the mailbox of the asker."""

from collections import defaultdict
from collections.abc import Iterator

from tests.fault.history.model import Model
from tests.fault.history.records import Violation


def check(model: Model) -> Iterator[Violation]:
    answers: dict[tuple[str, str], dict[str, object]] = defaultdict(dict)
    for mailbox in model.mailboxes.values():
        for seen, _ in mailbox.sightings():
            question = seen.headers.get("Mq9-In-Reply-To")
            if question is None:
                continue
            answers[mailbox.address, question][seen.uid or seen.text] = seen
            message = model.messages.get(seen.uid or "")
            if message is None or message.request.verb != "answer":
                yield Violation("answer", f"nobody sent this answer to {question}", [seen])
            elif question != f"{message.request.address}/{message.request.asked['msg_id']}":
                yield Violation(
                    "answer", f"{seen.uid} is the answer to another question", [message.request, seen]
                )
    for (address, question), found in answers.items():
        address_of_question = question.rpartition("/")[0]
        if len(found) > 1 and len(model.mailbox(address_of_question).lives) < 2:
            yield Violation("answer", f"{address} has two answers to {question}", list(found.values()))
