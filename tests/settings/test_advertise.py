"""The setting `advertise`: a list of addresses."""

import pytest

from mq9fast.config.settings import Settings
from mq9fast.config.sources import load_settings
from mq9fast.errors import SettingsError


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a:",
        ":1",
        "a:0",
        "a:65536",
        "a:1,",
        ",a:1",
        "a:1,,b:1",
        "a b:1",
        "nats://a:1",
        "u@a:1",
        "::1:5",
        "a:x",
    ],
)
def test_advertise_refuses_what_is_not_host_and_port(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^advertise: '.*' is not host:port$"):
        load_settings([f"--advertise={text}"], {})


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("a:1", ("a:1",)),
        ("a.example:4222,10.0.0.1:65535 , [fe80::1]:1", ("a.example:4222", "10.0.0.1:65535", "[fe80::1]:1")),
    ],
)
def test_advertise_is_a_list_of_addresses(text: str, addresses: tuple[str, ...]) -> None:
    assert load_settings([f"--advertise={text}"], {}).advertised == addresses
    assert Settings().advertised == ()
