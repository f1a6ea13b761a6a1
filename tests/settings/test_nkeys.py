"""Public NKEYs in the settings: compared with the official library, which makes them here."""

import base64

import nkeys
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq9fast.config.users import decode_nkey
from mq9fast.errors import SettingsError

raw_keys = st.binary(min_size=32, max_size=32)
PREFIXES = [
    nkeys.PREFIX_BYTE_SERVER,
    nkeys.PREFIX_BYTE_CLUSTER,
    nkeys.PREFIX_BYTE_OPERATOR,
    nkeys.PREFIX_BYTE_ACCOUNT,
]
BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def public_key(raw: bytes, prefix: int) -> str:
    body = bytes([prefix]) + raw
    return base64.b32encode(body + bytes(nkeys.crc16_checksum(body))).decode().rstrip("=")


@given(raw_keys)
def test_the_public_key_of_a_seed_is_decoded(seed: bytes) -> None:
    pair = nkeys.from_seed(bytearray(nkeys.encode_seed(seed, nkeys.PREFIX_BYTE_USER)))
    assert decode_nkey(pair.public_key.decode()) == bytes(pair._keys.verify_key)


def test_the_key_of_a_published_seed() -> None:
    """The Ed25519 key of the seed 00 01 ... 1f."""
    key = decode_nkey("UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK")
    assert key.hex() == "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"


@given(raw_keys, st.sampled_from(PREFIXES))
def test_keys_of_servers_and_accounts_are_refused(raw: bytes, prefix: int) -> None:
    with pytest.raises(SettingsError, match="is not the public NKEY of a user"):
        decode_nkey(public_key(raw, prefix))


@given(raw_keys, st.integers(2, 55), st.sampled_from(BASE32))
def test_a_mistyped_character_is_noticed(raw: bytes, place: int, character: str) -> None:
    nkey = public_key(raw, nkeys.PREFIX_BYTE_USER)
    mistyped = nkey[:place] + character + nkey[place + 1 :]
    if mistyped != nkey:
        with pytest.raises(SettingsError, match="mistyped"):
            decode_nkey(mistyped)
