"""Tests of `protocol/address`: the grammar of mail_addresses, also against a regular expression."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mq9fast._core.protocol.address import PRIORITIES, is_address, split_destination
from tests.support.in_memory import MANY

TOKEN = r"[a-z0-9_-]+"
GRAMMAR = re.compile(rf"(?=.{{1,128}}\Z)(?:{TOKEN}\.)*(?!(?:normal|urgent|critical)\Z){TOKEN}", re.ASCII)
RANKS = {"critical": 0, "urgent": 1, "normal": 2}

WORDS = st.sampled_from(
    [*RANKS, "a", "task", "queue", "normally", "a-b_c", "0", "-", "Normal", "a" * 60, "a" * 128]
)
ALMOST_ADDRESSES = st.one_of(
    st.lists(WORDS, min_size=1, max_size=4).map(".".join),
    st.text("az09-_.AZ*>$ \n\x00\xe9", max_size=12),
    st.text("az.", min_size=120, max_size=132),
)


def test_priorities_are_in_the_order_of_their_ranks() -> None:
    assert {name: rank for rank, name in enumerate(PRIORITIES)} == RANKS


@MANY
@given(ALMOST_ADDRESSES)
@example("a" * 128)
@example("a" * 129)
@example("a\n")
def test_is_address_agrees_with_the_regular_expression(text: str) -> None:
    assert is_address(text.encode()) is (GRAMMAR.fullmatch(text) is not None)


@MANY
@given(ALMOST_ADDRESSES, st.sampled_from(["", ".critical", ".urgent", ".normal", ".CRITICAL", ".*", "."]))
def test_split_destination_agrees_with_the_regular_expression(text: str, priority: str) -> None:
    whole = text + priority
    address, _, last = whole.rpartition(".")
    rank = RANKS.get(last)
    if rank is None:
        address, rank = whole, RANKS["normal"]
    expected = (address.encode(), rank) if GRAMMAR.fullmatch(address) else None
    assert split_destination(whole.encode()) == expected


@pytest.mark.parametrize(
    "address", ["a", "task", "task.queue", "normal.a", "a.normals", "9-_", "a" * 128, "a." * 63 + "aa"]
)
def test_valid_address(address: str) -> None:
    assert is_address(address.encode())
    assert split_destination(address.encode()) == (address.encode(), 2)
    for name, rank in RANKS.items():
        assert split_destination(f"{address}.{name}".encode()) == (address.encode(), rank)


@pytest.mark.parametrize(
    "address",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "A",
        "a b",
        "a*",
        ">",
        "*",
        "a.>",
        "normal",
        "a.urgent",
        "a" * 129,
        "\xe9",
        "a/b",
    ],
)
def test_invalid_address(address: str) -> None:
    assert not is_address(address.encode())


@pytest.mark.parametrize(
    "rest", ["", ".", "normal", ".normal", "a.normal.urgent", "a..urgent", "A.urgent", "a.*"]
)
def test_invalid_destination(rest: str) -> None:
    assert split_destination(rest.encode()) is None
