"""Tests of `base/heap`: the heap behaves as a sorted list does, also with many equal keys."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mq9fast._core.testing.base import ExposedHeap, Ticket

LARGEST = 2**64 - 1
KEYS = st.one_of(
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
    st.tuples(st.integers(0, LARGEST), st.integers(0, LARGEST)),
)


class HeapAgainstSortedList(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.heap = ExposedHeap()
        self.inside: list[Ticket] = []
        self.outside: list[Ticket] = []

    @rule(key=KEYS)
    def push(self, key: tuple[int, int]) -> None:
        ticket = Ticket(self.heap, *key)
        ticket.push()
        self.inside.append(ticket)

    @rule(keys=st.lists(KEYS, max_size=40))
    def push_many(self, keys: list[tuple[int, int]]) -> None:
        for key in keys:
            self.push(key)

    @rule(at=st.integers(0, 1000))
    def remove(self, at: int) -> None:
        if self.inside:
            ticket = self.inside.pop(at % len(self.inside))
            ticket.remove()
            self.outside.append(ticket)

    @rule()
    def remove_first(self) -> None:
        if self.inside:
            ticket = self.heap.first_ticket()
            assert ticket is not None
            assert ticket.key == min(each.key for each in self.inside)
            ticket.remove()
            self.inside.remove(ticket)

    @rule(at=st.integers(0, 1000), key=KEYS)
    def move(self, at: int, key: tuple[int, int]) -> None:
        if self.inside:
            self.inside[at % len(self.inside)].move(*key)

    @rule(at=st.integers(0, 1000))
    def remove_again(self, at: int) -> None:
        if self.outside:
            self.outside[at % len(self.outside)].remove()

    @invariant()
    def in_order(self) -> None:
        check(self.heap, self.inside)
        assert all(ticket.slot == -1 for ticket in self.outside)


TestHeapAgainstSortedList = HeapAgainstSortedList.TestCase
TestHeapAgainstSortedList.settings = settings(max_examples=100, stateful_step_count=40)


def check(heap: ExposedHeap, inside: list[Ticket]) -> None:
    """Every ticket knows its slot, and no parent comes after its child."""
    assert len(heap) == len(inside)
    slots = {ticket.slot: ticket for ticket in inside}
    assert sorted(slots) == list(range(len(inside)))
    for slot in range(1, len(inside)):
        assert slots[(slot - 1) // 2].key <= slots[slot].key
    assert heap.first_ticket() is slots.get(0)


def filled(keys: list[tuple[int, int]]) -> tuple[ExposedHeap, list[Ticket]]:
    heap = ExposedHeap()
    tickets = [Ticket(heap, *key) for key in keys]
    for ticket in tickets:
        ticket.push()
    return heap, tickets


def drained(heap: ExposedHeap) -> list[tuple[int, int]]:
    keys = []
    while (ticket := heap.first_ticket()) is not None:
        keys.append(ticket.key)
        ticket.remove()
    return keys


@pytest.mark.parametrize("size", range(1, 34))
def test_removing_any_slot_keeps_equal_keys_in_a_heap(size: int) -> None:
    """The last slot is a special case: there is no other ticket to fill the gap with."""
    for slot in range(size):
        heap, tickets = filled([(1, 1)] * size)
        removed = next(ticket for ticket in tickets if ticket.slot == slot)
        removed.remove()
        assert removed.slot == -1
        tickets.remove(removed)
        check(heap, tickets)
        assert drained(heap) == [(1, 1)] * (size - 1)


@pytest.mark.parametrize("keys", [range(33), range(32, -1, -1), [i * 7 % 33 for i in range(33)]], ids=str)
def test_removing_any_slot_keeps_the_order(keys: list[int]) -> None:
    for slot in range(33):
        heap, tickets = filled([(0, key) for key in keys])
        removed = next(ticket for ticket in tickets if ticket.slot == slot)
        removed.remove()
        tickets.remove(removed)
        check(heap, tickets)
        assert drained(heap) == sorted(ticket.key for ticket in tickets)


def test_keys_compare_major_then_minor_in_64_bits() -> None:
    keys = [(LARGEST, 0), (0, LARGEST), (1, 0), (2**63, 2**63 - 1), (2**63 - 1, 2**63), (LARGEST, LARGEST)]
    heap, _tickets = filled(keys)
    assert drained(heap) == sorted(keys)


def test_moving_a_ticket_outside_the_heap_raises() -> None:
    ticket = Ticket(ExposedHeap(), 1, 1)
    with pytest.raises(ValueError, match="in no heap"):
        ticket.move(0, 0)


def test_empty_heap_has_no_first_ticket() -> None:
    heap, (ticket,) = filled([(1, 1)])
    ticket.remove()
    assert (len(heap), heap.first_ticket()) == (0, None)


def test_deleted_ticket_leaves_its_heap() -> None:
    heap, tickets = filled([(1, 1), (2, 2), (3, 3)])
    del tickets[0]
    check(heap, tickets)
    assert drained(heap) == [(2, 2), (3, 3)]


def test_pushing_a_ticket_twice_raises() -> None:
    heap, (ticket,) = filled([(1, 1)])
    with pytest.raises(ValueError, match="in the heap"):
        ticket.push()
    check(heap, [ticket])
