"""The cases of bench-growth: operations that may cost more at ten times the size."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.peers import operations
from bench.peers.comparison import BYTES, RATE, SECONDS, Comparison, Figure, Row, Side
from bench.peers.rows_core import publish, publish_among, publish_in_pairs
from bench.peers.rows_memory import EACH, START, connect, populate
from bench.peers.rows_read import DRAIN, REPLAY, mailbox
from bench.peers.rows_send import send
from bench.peers.servers import Server, mq9fast

FACTOR = 10
Work = Callable[[Server, int], Mapping[str, Figure]]


@dataclass(frozen=True)
class Case:
    """Operations measured together at `size` and at `FACTOR * size`. `work` gets the size."""

    grows: str
    size: int
    operations: Sequence[Row]
    work: Work

    def comparison(self) -> Comparison:
        sizes = (self.size, self.size * FACTOR)
        sides = [Side(mq9fast("interval"), self._at(size), name=f"{size:,}") for size in sizes]
        return Comparison(self.operations, sides)

    def _at(self, size: int) -> Callable[[Server], Mapping[str, Figure]]:
        """Name the figures of the work after the operations, in their order."""
        names = [row.name for row in self.operations]
        return lambda server: dict(zip(names, self.work(server, size).values(), strict=True))


def cases(scale: float) -> list[Case]:
    return [
        *by_messages(scale),
        *by_mailboxes(scale),
        *by_subscriptions(scale),
        *by_connections(scale),
        *by_payload(scale),
    ]


def by_messages(scale: float) -> list[Case]:
    grows, size = "stored messages", round(100_000 * scale)

    def read(server: Server, count: int) -> Mapping[str, Figure]:
        figures = mailbox(server, count=count)
        return {name: figures[name] for name in (REPLAY, DRAIN)}

    return [
        Case(grows, size, [Row("replay of all", RATE), Row("drain of all by a group of 8", RATE)], read),
        _case("send to where they are", grows, size, operations.send_to_full, "stored", count=size * 2),
        _case("LIST of ten of them", grows, size, operations.list_page, "stored", count=2000),
        _case("start", grows, size, operations.start_with_messages, "stored", SECONDS),
    ]


def by_mailboxes(scale: float) -> list[Case]:
    grows, size = "mailboxes", round(100_000 * scale)

    def many(server: Server, count: int) -> Mapping[str, Figure]:
        figures = populate(server, count=count)
        return {EACH: figures[EACH], START: Figure(count / figures[START].value)}

    each = Row("memory each, with a message in it", BYTES)
    return [
        Case(grows, size, [each, Row("start, each", RATE)], many),
        _case("send to each in turn", grows, size // 10, send, "names", count=size * 2),
        _case("CREATE beside them", grows, size, operations.create, "existing", count=size // 2),
    ]


def by_subscriptions(scale: float) -> list[Case]:
    grows, count = "subscriptions, half of them wildcards", round(5_000_000 * scale / 10_000) * 10_000

    def one(server: Server, size: int) -> Mapping[str, Figure]:
        return publish_among(server, row="", count=count, subscriptions=size // 2, subjects=1)

    def all_of_them(server: Server, size: int) -> Mapping[str, Figure]:
        return publish_among(server, row="", count=count, subscriptions=size // 2, subjects=size // 2)

    return [
        Case(grows, 1000, [Row("publish to one of them", RATE)], one),
        Case(grows, 1000, [Row("publish to half of them in turn", RATE)], all_of_them),
    ]


def by_connections(scale: float) -> list[Case]:
    grows, count = "connections", round(2_000_000 * scale / 10_000) * 10_000
    stored = round(500_000 * scale / 1000) * 1000

    def fan_out(server: Server, size: int) -> Mapping[str, Figure]:
        return publish(server, row="", count=count // size, size=16, receivers=size)

    def from_all(server: Server, size: int) -> Mapping[str, Figure]:
        return send(server, row="", count=stored, connections=size, names=size)

    return [
        _case("publish amid idle ones", grows, 500, operations.publish_amid_idle, "idle", count=count),
        _case("publish in pairs, own subjects", grows, 10, publish_in_pairs, "pairs", count=count),
        Case(grows, 8, [Row("fan-out, a delivery", RATE)], fan_out),
        Case(grows, 10, [Row("send, each to its own mailbox", RATE)], from_all),
        Case(grows, 500, [Row("memory each, idle", BYTES)], lambda server, size: connect(server, count=size)),
    ]


def by_payload(scale: float) -> list[Case]:
    grows, count = "payload bytes", round(500_000 * scale / 1000) * 1000

    def stored(server: Server, size: int) -> Mapping[str, Figure]:
        return send(server, row="", count=count // 2, size=size)

    return [
        _case("publish, 1 → 1", grows, 100, publish, "size", count=count),
        _case("publish, 1 → 1", grows, 1000, publish, "size", count=count),
        Case(grows, 100, [Row("send", RATE)], stored),
        Case(grows, 1000, [Row("send", RATE)], stored),
    ]


def _case(  # type: ignore[no-untyped-def]
    name: str, grows: str, size: int, work, parameter: str, unit: str = RATE, **fixed: int
) -> Case:
    return Case(
        grows,
        size,
        [Row(name, unit)],
        lambda server, size: work(server, row="", **{parameter: size}, **fixed),
    )
