"""`check_directory` finds all damage, names what is lost, and changes no byte."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mq9fast.errors import StoreError
from mq9fast.maintenance.check import check_directory
from mq9fast.maintenance.stored_rows import MailboxRow
from mq9fast.maintenance.unused import unused
from mq9fast.storage import layout
from tests.support.broker import Broker, start_error
from tests.support.data_directory import (
    change_rows,
    change_state,
    file_hashes,
    flip_byte,
    overwrite,
    pretend_reboot,
    rows_of,
    truncate,
)
from tests.support.diverse import DELAYED, Diverse, damaged_files, flip_in_the_middle
from tests.support.mailbox import send_each

StartBroker = Callable[..., Broker]
KINDS = ("table", "segment", "log", "manifest", "current", "state")


def sentences(path: Path) -> list[str]:
    return [problem.sentence for problem in check_directory(path).problems]


def tree(path: Path) -> dict[str, tuple[int, int, int]]:
    """Inode, time of the last change, and mode of everything in a directory, and of itself."""
    found = {}
    for each in (path, *path.rglob("*")):
        status = each.stat()
        found[str(each)] = (status.st_ino, status.st_mtime_ns, status.st_mode)
    return found


def test_sound_store_is_counted_and_not_changed(diverse: Diverse) -> None:
    before = tree(diverse.path), file_hashes(diverse.path)
    report = check_directory(diverse.path)
    assert (tree(diverse.path), file_hashes(diverse.path)) == before
    assert report.is_sound and not report.notes, report
    assert (report.format, report.sync, report.ended) == (4, "always", "killed")
    assert report.holds.mailboxes == 3
    assert report.holds.messages == diverse.total
    assert report.holds.delayed == DELAYED
    assert min(report.tables, report.log_files, report.segments, report.log_bytes) > 0
    assert report.lost == report.not_durable == 0


def test_check_leaves_no_descriptor_open(diverse: Diverse) -> None:
    descriptors = Path("/proc/self/fd")
    before = {file.name for file in descriptors.iterdir()}
    check_directory(diverse.path)
    assert {file.name for file in descriptors.iterdir()} == before


def test_damaged_store_is_not_changed_either(damaged: Path) -> None:
    for kind in ("table", "segment", "log"):
        flip_in_the_middle(damaged_files(damaged)[kind])
    before = tree(damaged), file_hashes(damaged)
    assert not check_directory(damaged).is_sound
    assert (tree(damaged), file_hashes(damaged)) == before


@pytest.mark.parametrize("damage", [flip_in_the_middle, Path.unlink, lambda file: truncate(file, 100)])
@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_found(damaged: Path, kind: str, damage: Callable[[Path], None]) -> None:
    file = damaged_files(damaged)[kind]
    if kind == "current" and damage not in (flip_in_the_middle, Path.unlink):
        truncate(file, 5)
    elif kind == "state" and damage is flip_in_the_middle:
        file.write_bytes(b"x" * 9000)
    else:
        damage(file)
    found = " ".join(sentences(damaged))
    assert file.name in found or (kind == "log" and "acknowledged changes are lost" in found)


def test_each_part_of_a_table_is_read(damaged: Path) -> None:
    """All but the Bloom filter, which is between the rows and the index."""
    table = damaged_files(damaged)["table"]
    size = table.stat().st_size
    tail = [size - distance for distance in (5, 60, 300, 700)]
    for offset in (*range(10, size * 3 // 4, size // 9), *tail):
        flip_byte(table, offset)
        assert any(table.name in sentence for sentence in sentences(damaged)), offset
        flip_byte(table, offset)
    assert not sentences(damaged)


def test_lost_messages_are_named(damaged: Path) -> None:
    files = damaged_files(damaged)
    flip_byte(files["segment"], files["segment"].stat().st_size - 20_000)
    found = check_directory(damaged)
    (value,) = [problem for problem in found.problems if "is damaged" in problem.reason]
    assert (value.mailbox, value.messages) == ("large", 1)
    assert value.first_id is not None and value.first_id == value.last_id
    (count,) = [problem for problem in found.problems if "are there" in problem.reason]
    assert (count.mailbox, count.priority, count.messages) == ("large", "normal", 1)


def test_rows_are_compared(diverse: Diverse, damaged: Path) -> None:
    record = MailboxRow(rows_of(damaged, b"b")[b"bmixed"])
    record.counts[2] += 7
    due = tuple(rows_of(damaged, b"t"))
    change_rows(damaged, {b"bmixed": record.pack(), layout.COUNT_KEY: layout.number(5)}, due)
    change_state(damaged, acknowledged=0, synced=0, log_checksums={})
    found = " ".join(sentences(damaged))
    assert "5 mailboxes were stored, but only 3 were found" in found
    assert "mailbox mixed, normal, 7 messages: the mailbox counts" in found
    assert found.count("it would never be due") == DELAYED
    lives = list(diverse.stored["mixed"].values()).count("with a life")
    assert found.count("it would never expire") == lives > 0


def test_corrupt_message_and_record_are_named(start_broker: StartBroker) -> None:
    broker = start_broker()
    for address in ("first", "second"):
        send_each(broker.port, address, 1, f"message of {address}")
    broker.stop()
    overwrite(broker.data_dir, layout.MESSAGES, b"message of first", b"garbage")
    found = " ".join(sentences(broker.data_dir))
    assert "mailbox first, normal, msg_id 0: a message of 7 bytes has an unknown format" in found
    change_rows(broker.data_dir, {b"bsecond": b"garbage"})
    assert "mailbox second: a mailbox record of 7 bytes has an unknown format" in " ".join(
        sentences(broker.data_dir)
    )


def test_what_a_power_cut_took_is_no_damage(start_broker: StartBroker) -> None:
    broker = start_broker("--sync", "never")
    send_each(broker.port, "small", 20, "small")
    broker.kill()
    newest = damaged_files(broker.data_dir)["log"] if list(broker.data_dir.glob("*.sst")) else None
    newest = newest or sorted(broker.data_dir.glob("*.log"))[-1]
    truncate(newest, newest.stat().st_size - 100)
    assert "acknowledged changes are lost" in " ".join(sentences(broker.data_dir))
    pretend_reboot(broker.data_dir)
    report = check_directory(broker.data_dir)
    assert report.is_sound and report.ended == "power cut" and report.not_durable > 0
    assert "of which no client was told that they are durable" in report.notes[0]


def test_directory_in_use_is_refused(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = start_broker()
    with pytest.raises(StoreError, match="is in use by a broker: stop it"):
        check_directory(broker.data_dir)
    broker.kill()
    assert check_directory(broker.data_dir).is_sound
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="holds no store"):
        check_directory(tmp_path / "empty")
    with pytest.raises(StoreError, match="is no directory"):
        check_directory(tmp_path / "missing")


def test_what_check_calls_damaged_a_broker_refuses(damaged: Path) -> None:
    damaged_files(damaged)["state"].unlink()
    assert sentences(damaged) == ["mq9fast.state is missing"]
    assert "mq9fast.state" in start_error("--data-dir", damaged)


def test_unreadable_directory_is_an_error(damaged: Path) -> None:
    segment = damaged_files(damaged)["segment"]
    segment.unlink()
    segment.mkdir()
    with pytest.raises(StoreError, match="cannot be read"):
        check_directory(damaged)
    assert not list(segment.iterdir())


def test_no_broker_starts_on_a_directory_that_is_read(damaged: Path) -> None:
    with unused(damaged):
        assert "is in use by another broker" in start_error("--data-dir", damaged)
