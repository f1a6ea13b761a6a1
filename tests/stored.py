"""What lies in a data directory that no broker uses, and changing it."""

from pathlib import Path

from rocksdict import Options, Rdict


def rows_of(data_dir: Path, prefix: bytes = b"") -> dict[bytes, bytes]:
    """The stored pairs whose keys begin so."""
    db = Rdict(str(data_dir), Options(raw_mode=True))
    rows = {key: value for key, value in db.items() if key.startswith(prefix)}  # type: ignore[union-attr]
    db.close()
    return rows  # type: ignore[return-value]


def change_rows(data_dir: Path, put: dict[bytes, bytes], delete: tuple[bytes, ...] = ()) -> None:
    """Put and delete pairs."""
    db = Rdict(str(data_dir), Options(raw_mode=True))
    for key, value in put.items():
        db[key] = value
    for key in delete:
        del db[key]
    db.close()


def number(value: int) -> bytes:
    """As numbers are stored."""
    return value.to_bytes(8, "big")
