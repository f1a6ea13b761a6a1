"""Any settings are loaded or raise SettingsError, and nothing else."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq9fast.config.setting import Setting
from mq9fast.config.settings import SETTINGS
from mq9fast.config.sources import load_settings
from mq9fast.errors import SettingsError
from tests.settings.inputs import sentence, toml

VARIABLES = [row.variable for row in SETTINGS]
SCALARS = (
    st.booleans()
    | st.integers()
    | st.integers(min_value=-(2**80), max_value=2**80)
    | st.floats()
    | st.text()
    | st.text(st.characters())
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
LITERALS = VALUES.map(toml) | st.datetimes().map(str) | st.dates().map(str) | st.times().map(str)


def load_or_refuse(argv: list[str], environ: dict[str, str]) -> None:
    try:
        load_settings(argv, environ)
    except SettingsError as error:
        sentence(error)


@given(st.dictionaries(st.sampled_from(VARIABLES), st.text(st.characters()) | SCALARS.map(str), max_size=4))
def test_any_variables(environ: dict[str, str]) -> None:
    load_or_refuse([], environ)


@given(st.text(st.characters()).map("/absent/{}".format))
def test_any_config_path(path: str) -> None:
    load_or_refuse([], {"MQ9FAST_CONFIG": path})


@given(st.sampled_from(SETTINGS), st.text(st.characters()) | SCALARS.map(str))
def test_any_flag_value(row: Setting, value: str) -> None:
    load_or_refuse([f"{row.flag}={value}"], {})


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("settings") / "any.toml"


KEYS = st.sampled_from([row.name for row in SETTINGS] + ["max-payload"]) | st.text(max_size=3).map(json.dumps)


@given(values=st.dictionaries(KEYS, LITERALS, max_size=4))
def test_any_values_in_the_file(scratch: Path, values: dict[str, str]) -> None:
    text = "\n".join(f"{key} = {value}" for key, value in values.items())
    scratch.write_bytes(text.encode(errors="surrogatepass"))
    load_or_refuse(["--config", str(scratch)], {})


@given(data=st.binary() | st.text(alphabet="ports=[]{}'\"\\\n#.0xe-:TZ").map(str.encode))
def test_any_file(scratch: Path, data: bytes) -> None:
    scratch.write_bytes(data)
    load_or_refuse(["--config", str(scratch)], {})
