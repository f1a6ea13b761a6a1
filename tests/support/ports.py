"""Ports for programs that cannot say which free port they took."""

import random
import socket

# The system gives ports above these to connections, of which a test run opens many. A program that takes a
# while to start would find such a port taken.
PORTS = range(10_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Different ports of the loopback interface that nobody uses now."""
    listening: list[socket.socket] = []
    try:
        while len(listening) < count:
            try:
                listening.append(socket.create_server(("127.0.0.1", random.choice(PORTS))))
            except OSError:
                continue
        return [each.getsockname()[1] for each in listening]
    finally:
        for each in listening:
            each.close()


def free_port() -> int:
    return free_ports(1)[0]
