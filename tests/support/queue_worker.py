"""One worker of a queue group, as a process: it receives tasks, works a little, and deletes each task.

Run as `python -I -S queue_worker.py PORT ADDRESS JOURNAL WORK_SECONDS`. It writes an event a line to its
journal: `ready` when it has subscribed, `got` when it received a task, `done` when its work on the task
ended, `deleted` when the broker acknowledged the deletion. The task's id and the time in nanoseconds follow.
The worker may be killed at any time.
"""

import os
import socket
import sys
import time


def main(port: str, address: str, journal: str, work_seconds: str) -> None:
    out = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(event: str, msg_id: bytes) -> None:
        os.write(out, f"{event} {msg_id.decode()} {time.monotonic_ns()}\n".encode())

    connection = socket.create_connection(("127.0.0.1", int(port)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    inbox = f"worker.{os.getpid()}"
    connection.sendall(
        f'CONNECT {{"verbose":false}}\r\nSUB {inbox}.* 2\r\n'
        f"SUB $mq9.AI.MAILBOX.MSG.{address} workers 1\r\nPING\r\n".encode()
    )
    stream = connection.makefile("rb")
    for line in stream:
        verb, *arguments = line.split()
        if verb == b"PONG":
            note("ready", b"-")
        if verb != b"MSG":
            continue
        stream.read(int(arguments[-1]) + 2)
        if arguments[1] == b"2":
            note("deleted", arguments[0].rpartition(b".")[2])
            continue
        reply = arguments[2]
        msg_id = reply.rpartition(b".")[2]
        note("got", msg_id)
        time.sleep(float(work_seconds))
        note("done", msg_id)
        connection.sendall(b"PUB %s %s.%s 0\r\n\r\n" % (reply, inbox.encode(), msg_id))


if __name__ == "__main__":
    main(*sys.argv[1:])
