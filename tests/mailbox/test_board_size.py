"""The bulletin board with 100,000 public mailboxes: the work of a page has a bound, and private mailboxes add
none to it."""

from collections.abc import Callable, Iterator

import msgspec
import pytest

from mq9fast._core.base.broker_time import BrokerTime
from mq9fast.mailbox.board import MAX_WORK, WORK_BYTES, Board, BoardRequest
from tests.support.broker import Broker
from tests.support.in_memory import KIB, Core
from tests.support.mailbox import create_line
from tests.support.wire_client import MAILBOX, Wire

COUNT = 100_000
PAGE_BYTES = 10_000
# A message that is read at the end of a page may be more work than was left.
MOST_WORK = 2 * MAX_WORK * WORK_BYTES


class CountedBoard(Board):
    """A board of the core in memory. `work`: of each page that was made."""

    def __init__(self, core: Core) -> None:
        super().__init__(core.mailbox_index, core.store, lambda: KIB * KIB, BrokerTime())  # type: ignore[arg-type]
        self.client = core.session().session
        self.work: list[int] = []

    def pages(self, *, with_latest: bool = False) -> Iterator[dict[str, object]]:
        cursor = None
        while True:
            before = self.read_bytes
            request = BoardRequest(cursor=cursor, with_latest=with_latest)
            page = msgspec.json.decode(self.page(self.client, request))
            self.work.append(self.read_bytes - before)
            yield page
            if "next" not in page:
                return
            cursor = page["next"]


def core_with_mailboxes(public: int, private: int) -> Core:
    core = Core()
    for n in range(public):
        core.mailbox_index.create(b"agent.%06d" % n, True)
    for n in range(private):
        core.mailbox_index.create(b"agent.%06d.private" % n, False)
    return core


@pytest.mark.parametrize("with_latest", [False, True])
def test_work_of_a_page_is_bounded_and_does_not_grow_with_private_mailboxes(with_latest: bool) -> None:
    work = []
    for private in (0, COUNT):
        board = CountedBoard(core_with_mailboxes(COUNT // 10, private))
        found = [entry for page in board.pages(with_latest=with_latest) for entry in page["mailboxes"]]  # type: ignore[attr-defined]
        assert [entry["mail_address"] for entry in found] == [f"agent.{n:06}" for n in range(COUNT // 10)]
        assert max(board.work) <= MOST_WORK
        work.append(board.work)
    assert work[0] == work[1]


def test_100_000_public_mailboxes_page_within_bounds(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker("--max-payload", str(PAGE_BYTES), "--sync", "never")
    with Wire(broker.port) as wire:
        # In another order than that of the addresses.
        order = [n * 7919 % COUNT for n in range(COUNT)]
        for start in range(0, COUNT, 1000):
            lines = [create_line(name=f"agent.{n:06}", public=True) for n in order[start : start + 1000]]
            wire.send("".join(lines))
            wire.ping()
        check_pages(wire)
        first = wire.request(MAILBOX + "LIST", {"limit": 20}).json
        last = wire.request(MAILBOX + "LIST", {"limit": 20, "prefix": "agent.09999"}).json
        assert [entry["mail_address"] for entry in first["mailboxes"]] == [f"agent.{n:06}" for n in range(20)]
        assert [entry["mail_address"] for entry in last["mailboxes"]] == [
            f"agent.{n:06}" for n in range(COUNT - 10, COUNT)
        ]
    broker.restart()
    with Wire(broker.port) as wire:
        check_pages(wire)


def check_pages(wire: Wire) -> None:
    """Every mailbox is on one page, in order, and no page is longer than `max_payload`."""
    fields: dict[str, str] = {}
    number = pages = 0
    while True:
        reply = wire.request(MAILBOX + "LIST", fields)
        assert len(reply.payload) <= PAGE_BYTES
        page = reply.json
        for entry in page["mailboxes"]:
            assert entry["mail_address"] == f"agent.{number:06}"
            number += 1
        pages += 1
        if "next" not in page:
            break
        fields = {"cursor": page["next"]}
    assert number == COUNT
    assert pages < COUNT / 50
