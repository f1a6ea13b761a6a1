"""RocksStore: scans, and a store that is closed."""

from pathlib import Path

from mq9fast.storage.rocks import RocksStore


def test_scan_yields_every_pair_up_to_its_bound(tmp_path: Path) -> None:
    store = RocksStore(tmp_path)
    batch = store.new_batch()
    for number in range(20_000):
        batch.put(b"m%08d" % number, b"x" * 100)
    store.write(batch)
    for first, end in ((0, 20_000), (7, 19_999), (12_345, 12_346), (5, 5)):
        keys = [key for key, _ in store.scan(b"m%08d" % first, b"m%08d" % end)]
        assert keys == [b"m%08d" % number for number in range(first, end)]
        keys = [key for key, _ in store.scan_back(b"m%08d" % first, b"m%08d" % end)]
        assert keys == [b"m%08d" % number for number in range(end - 1, first - 1, -1)]
    assert [key for key, _ in store.scan_back(b"m%08d" % 3 + b"0", b"m%08d" % 5 + b"0")] == [
        b"m%08d" % 5,
        b"m%08d" % 4,
    ]
    store.close()


def test_write_stalled_is_false_when_rocksdb_cannot_be_queried(tmp_path: Path) -> None:
    store = RocksStore(tmp_path)
    store.close()
    assert not store.write_stalled()


def test_checks_that_cost_nothing_are_on(tmp_path: Path) -> None:
    RocksStore(tmp_path).close()
    (options,) = tmp_path.glob("OPTIONS-*")
    found = set(options.read_text().split())
    assert {
        "paranoid_checks=true",
        "force_consistency_checks=true",
        "verify_sst_unique_id_in_manifest=true",
        "flush_verify_memtable_count=true",
        "compaction_verify_record_count=true",
        "checksum=kXXH3",
    } <= found
