import gc
from pathlib import Path

from mq9fast.store.rocks import RocksStore


def test_a_scan_stops_at_its_end_however_memory_is_used_meanwhile(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "data")
    batch = store.new_batch()
    for n in range(100):
        batch.put(b"m" + n.to_bytes(8, "big"), b"%d" % n)
    store.write(batch)
    rows = store.scan(b"m" + (20).to_bytes(8, "big"), b"m" + (80).to_bytes(8, "big"))
    gc.collect()
    filler = [bytes([fill]) * 9 for fill in (0, 255) for _ in range(1000)]
    assert [value for _, value in rows] == [b"%d" % n for n in range(20, 80)]
    assert len(filler) == 2000
    store.close()
