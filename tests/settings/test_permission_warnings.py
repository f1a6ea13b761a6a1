"""Warnings for permissions that cover one mailbox more than they seem to."""

import re
from itertools import product
from pathlib import Path

import pytest

from mq9fast._core.testing.pubsub import publishes, subscribes
from mq9fast.config.permission_warnings import permission_warnings
from mq9fast.config.settings import Settings
from mq9fast.config.sources import load_settings
from mq9fast.config.users import PermissionLists, SubjectLists, User, make_permissions

MAILBOX = "$mq9.AI.MAILBOX."


def warned(*allow: str, deny: tuple[str, ...] = (), subscribe: bool = False) -> list[tuple[str, str]]:
    """The warnings, as (permission entry, mailbox), both without the prefix."""
    lists = SubjectLists(*(tuple(MAILBOX + entry for entry in entries) for entries in (allow, deny)))
    both = PermissionLists(subscribe=lists) if subscribe else PermissionLists(publish=lists)
    sentences = list(
        permission_warnings(Settings(users=(User(user="anna", password="x", permissions=both),)))
    )
    start = f"user 'anna': the {'subscribe' if subscribe else 'publish'} permission "
    assert all(sentence.startswith(start) for sentence in sentences)
    found = [re.findall(r"'([^']*)'", sentence.removeprefix(start)) for sentence in sentences]
    return [(entry.removeprefix(MAILBOX), beside) for entry, beside, *_ in found]


@pytest.mark.parametrize(
    ("entry", "beside"),
    [
        ("MSG.tenant.*", "tenant"),
        ("MSG.tenant.>", "tenant"),
        ("MSG.tenant.a.*", "tenant.a"),
        ("MSG.*.*", "*"),
        ("MSG.*.a.>", "*.a"),
        ("DELETE.tenant.>", "tenant"),
        ("DELETE.*.>", "*"),
    ],
)
def test_a_wildcard_that_also_covers_the_mailbox_above_it_is_warned_of(entry: str, beside: str) -> None:
    assert warned(entry) == [(entry, beside)]
    assert warned(entry, subscribe=True) == [(entry, beside)]
    if entry.startswith("MSG"):
        assert warned(f"{entry} workers", subscribe=True) == [(f"{entry} workers", beside)]


@pytest.mark.parametrize(
    "entry",
    [
        *("MSG.tenant", "MSG.tenant.urgent", "MSG.*", "MSG.>", "MSG.*.critical", ">", "*", "MSG.*.tenant"),
        *(
            "CREATE",
            "LIST.tenant.*",
            "LIST.>",
            "DELETE.tenant.*",
            "DELETE.tenant.*.*",
            "DELETE.>",
            "DELETE.*",
        ),
        *("MSG.tenant.urgent.*", "MSG.Tenant.*"),
    ],
)
def test_unambiguous_entries_are_not_warned_of(entry: str) -> None:
    assert warned(entry) == []


def test_plain_subjects_are_not_warned_of() -> None:
    lists = PermissionLists(publish=("a.*", "$mq9.>", ">", "$mq9.AI.MAILBOX.>", "$mq9.AI.AGENT.MSG.a.*"))
    assert list(permission_warnings(Settings(default_permissions=lists))) == []


def test_a_mailbox_that_is_allowed_or_denied_elsewhere_is_not_warned_of() -> None:
    assert warned("MSG.tenant.*", "MSG.tenant") == []
    assert warned("MSG.tenant.*", "MSG.*") == []
    assert warned("MSG.tenant.*", deny=("MSG.tenant",)) == []
    assert warned("MSG.tenant.*", "DELETE.tenant.>", deny=("MSG.tenant", "DELETE.tenant.*")) == []
    assert warned("MSG.tenant.*", deny=("MSG.tenant.critical",)) == [("MSG.tenant.*", "tenant")]
    assert warned("MSG.*.*", deny=("MSG.tenant",)) == [("MSG.*.*", "*")]


def test_entries_of_another_queue_group_do_not_count() -> None:
    entry = "MSG.tenant.* workers"
    assert warned(entry, "MSG.tenant", subscribe=True) == []
    assert warned(entry, "MSG.tenant workers", subscribe=True) == []
    assert warned(entry, "MSG.tenant others", subscribe=True) == [(entry, "tenant")]
    assert warned("MSG.tenant.*", "MSG.tenant workers", subscribe=True) == [("MSG.tenant.*", "tenant")]


def test_the_warning_and_its_advice_are_right() -> None:
    """The permission covers the mailbox, and the deny entry that the warning suggests excludes only that."""
    for entry, priority in product(("MSG.tenant.*", "MSG.tenant.>"), ("", ".urgent", ".normal", ".critical")):
        tenant, other = ((MAILBOX + "MSG." + it + priority).encode() for it in ("tenant", "tenant.a"))
        (sentence,) = permission_warnings(
            Settings(default_permissions=PermissionLists(publish=MAILBOX + entry, subscribe=()))
        )
        found = re.search(r"deny '(.*?)' to exclude it", sentence)
        assert found is not None
        for deny, allowed in (((), True), ((found[1],), False)):
            lists = SubjectLists(MAILBOX + entry, deny)
            permits = make_permissions(PermissionLists(lists, lists), 1)
            assert permits is not None
            assert publishes(permits, tenant) == subscribes(permits, tenant) == allowed
            assert publishes(permits, other)
            assert subscribes(permits, other)


def test_the_users_in_the_operations_document_cause_no_warning(tmp_path: Path) -> None:
    document = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    (example,) = re.findall(r"^```toml\n(.*?)^```", document, re.MULTILINE | re.DOTALL)
    path = tmp_path / "mq9.toml"
    path.write_text(example)
    assert list(permission_warnings(load_settings(["--config", str(path)], {}))) == []
