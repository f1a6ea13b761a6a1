"""Users in the config file: what is valid, and the errors, which contain no secret."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq9fast._core.testing.pubsub import publishes, subscribes
from mq9fast.config.settings import Settings
from mq9fast.config.sources import load_settings
from mq9fast.config.users import PermissionLists, SubjectLists, User, make_permissions
from mq9fast.errors import SettingsError
from tests.support.in_memory import MANY

SECRET = "s3cr3t-pa55word"
KEY = "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK"
HASH = "$2a$04$7DzWWFaewE5xVije9AWOUO1qLbiKHquFco4x1LW5QTb/0.r8Mtk2q"
USER = f'[[users]]\nuser = "anna"\npassword = "{SECRET}"\n'


def load(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "mq9.toml"
    path.write_text(text)
    return load_settings(["--config", str(path)], {})


def test_users(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        f"""
        [default_permissions]
        publish = "a"
        {USER}
        [users.permissions]
        publish = ["a.*", "b"]
        subscribe = {{ allow = [">"], deny = ["x", "y q.>"] }}
        [[users]]
        nkey = "{KEY}"
        """,
    )
    lists = PermissionLists(("a.*", "b"), SubjectLists((">",), ("x", "y q.>")))
    assert settings.users == (User("anna", SECRET, None, lists), User(nkey=KEY))
    assert settings.default_permissions == PermissionLists("a")


def test_an_empty_list_allows_nothing_and_an_absent_one_everything() -> None:
    none, everything = (
        make_permissions(PermissionLists(publish=()), 1),
        make_permissions(PermissionLists(), 1),
    )
    assert none is not None and everything is not None
    assert not publishes(none, b"a")
    assert subscribes(none, b"a")
    assert publishes(everything, b"a")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("users = 5", "Expected `array`"),
        ("[users]\nuser = 'anna'", "Expected `array`"),
        (f"[[users]]\nuser = 'anna'\npasswort = '{SECRET}'", "`passwort`"),
        (f"[[users]]\nuser = 5\npassword = '{SECRET}'", "$[0].user"),
        (f"[[users]]\nuser = ''\npassword = '{SECRET}'", "$[0].user"),
        ("[[users]]\nuser = 'anna'", "needs a password"),
        ("[[users]]\nuser = 'anna'\npassword = ''", "$[0].password"),
        (f"[[users]]\npassword = '{SECRET}'", "user 1 needs either"),
        ("[[users]]", "user 1 needs either"),
        (f"{USER}nkey = '{KEY}'", "user 1 needs either"),
        (f"[[users]]\nnkey = '{KEY}'\npassword = '{SECRET}'", "none with nkey"),
        (USER + USER, "'anna' is listed twice"),
        (f"[[users]]\nnkey = '{KEY}'\n" * 2, f"'{KEY}' is listed twice"),
        (f"[[users]]\nnkey = '{KEY[:-1]}'", "not the public NKEY"),
        (f"[[users]]\nnkey = '{KEY[:-1]}A'", "mistyped"),
        (f"[[users]]\nnkey = 'A{KEY[1:]}'", "not the public NKEY"),
        ("[[users]]\nnkey = 'é'", "not the public NKEY"),
        (USER.replace(SECRET, HASH[:-1]), "password of user 'anna' begins like a bcrypt hash"),
        (USER.replace(SECRET, HASH.replace("$04$", "$32$")), "begins like a bcrypt hash"),
        (f"token = '{HASH[:-1]}'", "token begins like a bcrypt hash"),
        (f"user = 'a'\npassword = '{HASH}x'", "password begins like a bcrypt hash"),
        ("user = ' a'\npassword = 'b'", "the user name ' a' cannot be used"),
        ("user = 'a\u00a0'\npassword = 'b'", "blanks at its start or end"),
        ("user = 'a\u0085b'\npassword = 'c'", "control characters"),
        (USER.replace("anna", "anna\\r\\nMq9-From: boss"), r"the user name 'anna\r\nMq9-From: boss' cannot"),
        (USER.replace("anna", "an\\u0000na"), "control characters"),
        (USER.replace("anna", "an\\u009fna"), "control characters"),
        (USER.replace("anna", "\\tanna"), "control characters"),
        (USER.replace("anna", "anna "), "the user name 'anna ' cannot be used"),
        (USER.replace("anna", "\u2003anna"), "blanks at its start or end"),
        (USER.replace("anna", " "), "blanks at its start or end"),
        (f"token = '{SECRET}'\n{USER}", "users are listed"),
        (f"user = 'a'\npassword = '{SECRET}'\n{USER}", "users are listed"),
        (f"{USER}permissions.publish = 5", "$[0].permissions.publish"),
        (f"{USER}permissions.pub = 'a'", "`pub`"),
        (f"{USER}permissions.publish = {{ allowed = 'a' }}", "`allowed`"),
        (
            f"{USER}permissions.publish = 'a..b'",
            "'anna' has a publish permission that is not a subject: 'a..b'",
        ),
        (f"{USER}permissions.publish = ['a', '']", "not a subject: ''"),
        (f"{USER}permissions.publish = {{ deny = 'a.>.b' }}", "not a subject: 'a.>.b'"),
        (f"{USER}permissions.publish = 'a q'", "not a subject: 'a q'"),
        (f"{USER}permissions.subscribe = 'a q r'", "not a subject: 'a q r'"),
        (f"{USER}permissions.subscribe = 'a '", "not a subject: 'a '"),
        (f"{USER}permissions.subscribe = ' a'", "not a subject: ' a'"),
        (f'{USER}permissions.subscribe = "a\\tb"', "not a subject"),
        ("default_permissions = { publish = 'a b' }", "default_permissions has a publish permission"),
        ("default_permissions = 'a'", "default_permissions"),
    ],
)
def test_error_names_what_is_wrong(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(tmp_path, text)
    assert named in str(raised.value)
    assert SECRET not in str(raised.value)
    assert HASH[:-1] not in str(raised.value)


def test_users_have_no_variable_and_no_flag() -> None:
    assert load_settings([], {"MQ9FAST_USERS": "x"}).users == ()
    with pytest.raises(SettingsError, match="--users"):
        load_settings(["--users=x"], {})


def test_repr_of_a_user_contains_no_secret(tmp_path: Path) -> None:
    settings = load(tmp_path, USER)
    assert SECRET not in repr(settings)
    assert SECRET not in repr(settings.users)
    assert SECRET not in str(settings.users[0].__rich_repr__())


@MANY
@given(st.text(max_size=30))
def test_any_text_as_a_permission_is_a_subject_or_refused(text: str) -> None:
    """A permission that the settings accept works in the broker."""
    try:
        settings = Settings(users=(User("u", "p", None, PermissionLists((text,), (text,))),))
    except SettingsError:
        return
    built = make_permissions(settings.users[0].permissions, 1)
    assert built is not None
    publishes(built, text.encode())
    subscribes(built, text.encode())
