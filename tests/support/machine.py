"""What the machine offers: socket buffers, IPv6, file descriptors."""

import contextlib
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest


def kernel_bytes() -> int:
    """Upper bound of the bytes that the kernel buffers for a peer that reads nothing, on the sending side."""
    sizes = Path("/proc/sys/net/ipv4/tcp_wmem")
    return int(sizes.read_text().split()[2]) if sizes.exists() else 4 << 20


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as attempt:
            attempt.bind(("::1", 0))
    except OSError:
        return False
    return True


HAS_IPV6 = _has_ipv6()


@contextlib.contextmanager
def open_descriptors(count: int) -> Iterator[None]:
    """Allow this process `count` open file descriptors. Skip the test if the system does not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.skip("the system allows too few file descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
