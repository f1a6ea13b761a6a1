"""Checks a history against the contract."""

from tests.fault.history.history import History
from tests.fault.history.model import Model
from tests.fault.history.records import Violation
from tests.fault.history.rules import (
    answers,
    dead_letters,
    delays,
    events,
    groups,
    ids,
    lifetimes,
    limits,
    listings,
    members,
    order,
    presence,
    receipts,
    repeats,
    senders,
)

RULES = (
    *(ids, presence, lifetimes, listings, limits, order, groups, members),
    *(delays, dead_letters, receipts, answers, repeats, senders, events),
)


def find_violations(history: History) -> list[Violation]:
    """What the broker did that it must not do. Each rule is a module of `rules/`."""
    model = Model(history)
    return [violation for rule in RULES for violation in rule.check(model)]
