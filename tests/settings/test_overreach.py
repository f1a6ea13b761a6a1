"""Permissions that cover one mailbox more than they seem to, and what is said of them."""

import re
from itertools import product
from pathlib import Path

import pytest

from mq9fast.config.permission_warnings import permission_warnings
from mq9fast.config.settings import Settings
from mq9fast.config.sources import load_settings
from mq9fast.config.users import PermissionLists, SubjectLists, User, make_permissions

MAILBOX = "$mq9.AI.MAILBOX."


def told(*allow: str, deny: tuple[str, ...] = (), subscribe: bool = False) -> list[tuple[str, str]]:
    """What is warned of: (entry, mailbox), both without the prefix."""
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
def test_a_wildcard_that_covers_a_mailbox_beside_those_it_names(entry: str, beside: str) -> None:
    assert told(entry) == [(entry, beside)]
    assert told(entry, subscribe=True) == [(entry, beside)]
    if entry.startswith("MSG"):
        assert told(f"{entry} workers", subscribe=True) == [(f"{entry} workers", beside)]


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
def test_what_says_what_it_means(entry: str) -> None:
    assert told(entry) == []


def test_other_subjects_are_no_mailboxes() -> None:
    lists = PermissionLists(publish=("a.*", "$mq9.>", ">", "$mq9.AI.MAILBOX.>", "$mq9.AI.AGENT.MSG.a.*"))
    assert list(permission_warnings(Settings(default_permissions=lists))) == []


def test_what_is_denied_or_allowed_besides_is_not_warned_of() -> None:
    assert told("MSG.tenant.*", "MSG.tenant") == []
    assert told("MSG.tenant.*", "MSG.*") == []
    assert told("MSG.tenant.*", deny=("MSG.tenant",)) == []
    assert told("MSG.tenant.*", "DELETE.tenant.>", deny=("MSG.tenant", "DELETE.tenant.*")) == []
    assert told("MSG.tenant.*", deny=("MSG.tenant.critical",)) == [("MSG.tenant.*", "tenant")]
    assert told("MSG.*.*", deny=("MSG.tenant",)) == [("MSG.*.*", "*")]


def test_queue_groups_are_told_apart() -> None:
    entry = "MSG.tenant.* workers"
    assert told(entry, "MSG.tenant", subscribe=True) == []
    assert told(entry, "MSG.tenant workers", subscribe=True) == []
    assert told(entry, "MSG.tenant others", subscribe=True) == [(entry, "tenant")]
    assert told("MSG.tenant.*", "MSG.tenant workers", subscribe=True) == [("MSG.tenant.*", "tenant")]


def test_the_warning_is_true_and_so_is_its_advice() -> None:
    """As permissions decide it: the mailbox is covered, and what the sentence says excludes it alone."""
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
            assert permits.publishes(tenant) == permits.subscribes(tenant) == allowed
            assert permits.publishes(other)
            assert permits.subscribes(other)


def test_the_users_of_the_document_mean_what_they_say(tmp_path: Path) -> None:
    document = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    (shown,) = re.findall(r"^```toml\n(.*?)^```", document, re.MULTILINE | re.DOTALL)
    path = tmp_path / "mq9.toml"
    path.write_text(shown)
    assert list(permission_warnings(load_settings(["--config", str(path)], {}))) == []
