"""Batches with large and small values change the store as a dictionary would change."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq9fast.storage.rocks import RocksStore
from tests.support.value_log import ALL, KEYS, open_store

Change = tuple[str, int, int, int]
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["put", "delete", "delete_range"]),
        st.integers(0, 7),
        st.integers(0, 7),
        st.sampled_from([0, 5, 1023, 1024, 3000]),
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RocksStore]:
    store = open_store(tmp_path_factory.mktemp("store"))
    yield store
    store.close()


@given(batches=st.lists(CHANGES, max_size=4))
def test_batches_change_the_store_as_a_dictionary(store: RocksStore, batches: list[list[Change]]) -> None:
    model: dict[bytes, bytes] = {}
    clear = store.new_batch()
    clear.delete_range(*ALL)
    store.write(clear)
    for changes in batches:
        batch = store.new_batch()
        for number, (change, first, end, size) in enumerate(changes):
            if change == "put":
                model[KEYS[first]] = b"\1" + bytes([number]) * size
                batch.put(KEYS[first], model[KEYS[first]])
            elif change == "delete":
                model.pop(KEYS[first], None)
                batch.delete(KEYS[first])
            elif first <= end:
                model = {key: value for key, value in model.items() if not KEYS[first] <= key < KEYS[end]}
                batch.delete_range(KEYS[first], KEYS[end])
        store.write(batch)
        assert dict(store.scan(*ALL)) == model
