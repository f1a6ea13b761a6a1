"""BrokerState: packing and unpacking."""

import pytest

from mq9fast.errors import StoreError
from mq9fast.storage.broker_state import SYNC_MODES, BrokerState, pack_state, unpack_state


@pytest.mark.parametrize("sync", SYNC_MODES)
def test_unpacked_state_equals_the_packed_one(sync: str) -> None:
    store_id, boot_id = "0" * 36, "1" * 36
    state = BrokerState(True, False, sync, 3, 12, 11, store_id, boot_id, {7: 8, 9: 10})
    assert unpack_state(pack_state(state)) == state


@pytest.mark.parametrize(
    ("offset", "value"),
    [(0, 0), (0, 2), (3, len(SYNC_MODES)), (3, 255), (24, 0xD5), (95, 0x80)],
    ids=["old", "new", "sync", "sync-255", "store-id", "boot-id"],
)
def test_state_of_an_unknown_format_is_refused(offset: int, value: int) -> None:
    payload = bytearray(pack_state(BrokerState()))
    payload[offset] = value
    with pytest.raises(StoreError, match="unknown format"):
        unpack_state(bytes(payload))


@pytest.mark.parametrize("size", [0, 1, 95, 97])
def test_state_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(StoreError, match="unknown format"):
        unpack_state(pack_state(BrokerState()).ljust(size, b"\0")[:size])
