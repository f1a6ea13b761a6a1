"""The thread that writes the log."""

import os
import re
import time

from mq9fast.log import MAX_WAITING_BYTES, LineWriter


def notice(count: int) -> str:
    return f"{count} were dropped"


def read_until(descriptor: int, until: bytes) -> bytes:
    data = b""
    while not data.endswith(until):
        data += os.read(descriptor, 1 << 20)
    return data


def test_lines_are_written_in_order() -> None:
    reading, writing = os.pipe()
    writer = LineWriter(writing)
    for number in range(1000):
        writer.put(f"line {number}")
    assert writer.close(10.0)
    os.close(writing)
    assert read_until(reading, b"line 999\n").decode().splitlines() == [f"line {n}" for n in range(1000)]
    os.close(reading)


def test_lines_are_dropped_while_the_reader_does_not_read() -> None:
    reading, writing = os.pipe()
    writer = LineWriter(writing, notice)
    line = "x" * 1000
    count = 3 * MAX_WAITING_BYTES // len(line)
    used = time.thread_time()
    for _ in range(count):
        writer.put(line)
    assert time.thread_time() - used < 1.0
    assert not writer.flush(0.01)
    dropped = writer.dropped
    assert count // 2 < dropped < count
    # The reader reads again: it gets the waiting lines, and a notice of how many are missing, or two if the
    # thread could write some lines in between.
    text = b""
    while text.count(b"\n") < count - dropped:
        text += os.read(reading, 1 << 20)
    writer.put("the end")
    text += read_until(reading, b"the end\n")
    assert sum(map(int, re.findall(rb"^(\d+) were dropped$", text, re.MULTILINE))) == dropped
    writer.put("more")
    assert read_until(reading, b"more\n") == b"more\n"
    writer.close(10.0)
    for descriptor in (reading, writing):
        os.close(descriptor)


def test_lines_are_dropped_after_the_reader_closed() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    writer = LineWriter(writing, notice)
    writer.put("lost")
    assert not writer.close(10.0)
    assert writer.dropped == 1
    os.close(writing)


def test_nonblocking_descriptor_loses_and_cuts_no_line() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    writer = LineWriter(writing, notice)
    for number in range(1000):
        writer.put(f"{number:04} " + "x" * 500)
    assert not writer.flush(0.05)
    text = read_until(reading, b"0999 " + b"x" * 500 + b"\n")
    assert writer.close(10.0)
    assert [line[:4] for line in text.decode().splitlines()] == [f"{number:04}" for number in range(1000)]
    for descriptor in (reading, writing):
        os.close(descriptor)
