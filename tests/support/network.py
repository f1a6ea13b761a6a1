"""A network of this machine alone, whose links tests cut: each member is a namespace with one address.

    n1 ── eth0 ─┐
    n2 ── eth0 ─┼─ bridge, in a namespace of its own
    n3 ── eth0 ─┘

The namespaces have no name and no link to that of the machine. A process holds each of them, and they are
gone when these processes are: also if the test is killed, because they end with their standard input.
"""

import contextlib
import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

NEW_NET = 0x40000000  # CLONE_NEWNET
TOOLS = ("ip", "iptables", "tc", "unshare")
SWITCH = "switch"
PREFIX = "10.99.0."
_LIBC = ctypes.CDLL(None, use_errno=True)


class NetworkError(Exception):
    """Networks cannot be made here. The text says why."""


class Network:
    """The links of all members work when the constructor returns. Raises NetworkError."""

    def __init__(self, members: Sequence[str]) -> None:
        missing = [tool for tool in TOOLS if shutil.which(tool) is None]
        if missing or not Path("/proc/thread-self/ns/net").exists() or os.geteuid():
            raise NetworkError(f"a network needs root, Linux and {', '.join(missing or TOOLS)}")
        self.members = tuple(members)
        self._holders: dict[str, subprocess.Popen[bytes]] = {}
        try:
            for name in (SWITCH, *members):
                self._hold(name)
            self._link()
            # The kernel may lack what filters and slows down.
            self.cut(self.members[0], self.members[0])
            self.slow_down(self.members[0], 1_000_000, 1)
            self.heal()
        except BaseException:
            self.close()
            raise

    def address(self, name: str) -> str:
        return f"{PREFIX}{self.members.index(name) + 1}"

    def _hold(self, name: str) -> None:
        holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo ready && exec cat >/dev/null"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._holders[name] = holder
        assert holder.stdout is not None and holder.stderr is not None
        if not holder.stdout.readline():
            raise NetworkError(f"no namespace can be made: {holder.stderr.read().decode().strip()}")

    def _link(self) -> None:
        self.run(SWITCH, "ip", "link", "add", "bridge", "type", "bridge")
        self.run(SWITCH, "ip", "link", "set", "bridge", "up")
        for name in self.members:
            pid = str(self._holders[name].pid)
            self.run(SWITCH, "ip", "link", "add", f"to-{name}", "type", "veth", "peer", "eth0", "netns", pid)
            self.run(SWITCH, "ip", "link", "set", f"to-{name}", "master", "bridge", "up")
            self.run(name, "ip", "link", "set", "lo", "up")
            self.run(name, "ip", "address", "add", f"{self.address(name)}/24", "dev", "eth0")
            self.run(name, "ip", "link", "set", "eth0", "up")

    @contextlib.contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """Move this thread into a namespace. Sockets, processes and threads that begin there belong to it."""
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            other = os.open(f"/proc/{self._holders[name].pid}/ns/net", os.O_RDONLY)
            try:
                _enter(other)
            finally:
                os.close(other)
            try:
                yield
            finally:
                _enter(own)
        finally:
            os.close(own)

    def run(self, name: str, *command: str) -> str:
        """Run a command in a namespace, and return its output. Raises NetworkError if it fails."""
        with self.inside(name):
            done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise NetworkError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    # What goes wrong with links. `heal` ends all of it.

    def cut(self, sender: str, receiver: str, *, but: Sequence[int] = ()) -> None:
        """Nothing that `sender` sends reaches `receiver`, also on connections that exist.

        `but`: except on connections with these TCP ports, at most 15 of them.
        """
        if but:
            ports = ",".join(map(str, but))
            self._filter(
                receiver,
                "-s",
                self.address(sender),
                "-p",
                "tcp",
                "-m",
                "multiport",
                "--ports",
                ports,
                "-j",
                "ACCEPT",
            )
        self._filter(receiver, "-s", self.address(sender), "-j", "DROP")

    def cut_both(self, name: str, others: Sequence[str], *, but: Sequence[int] = ()) -> None:
        """Nothing goes from `name` to the others, or from them to it. `but`: see `cut`."""
        for other in others:
            self.cut(name, other, but=but)
            self.cut(other, name, but=but)

    def lose(self, receiver: str, share: float) -> None:
        """A share of the packets to `receiver` is lost at random."""
        self._filter(
            receiver,
            "-i",
            "eth0",
            "-m",
            "statistic",
            "--mode",
            "random",
            "--probability",
            f"{share:.3f}",
            "-j",
            "DROP",
        )

    def slow_down(self, sender: str, bits: int, queue_seconds: float) -> None:
        """`sender` sends so many bits a second. What would wait longer than `queue_seconds` is lost."""
        limit = f"{queue_seconds * 1000:.0f}ms"
        self.run(
            sender,
            "tc",
            "qdisc",
            "replace",
            "dev",
            "eth0",
            "root",
            "tbf",
            "rate",
            f"{bits}bit",
            "burst",
            "16kb",
            "latency",
            limit,
        )

    def _filter(self, receiver: str, *rule: str) -> None:
        self.run(receiver, "iptables", "-w", "-A", "INPUT", *rule)

    def heal(self) -> None:
        """All links work again."""
        for name in self.members:
            self.run(name, "iptables", "-w", "-F", "INPUT")
            if "tbf" in self.run(name, "tc", "qdisc", "show", "dev", "eth0"):
                self.run(name, "tc", "qdisc", "del", "dev", "eth0", "root")

    def close(self) -> None:
        """Remove all of it. What runs in a namespace keeps that one until it ends."""
        for holder in self._holders.values():
            holder.kill()
            holder.communicate()


def _enter(descriptor: int) -> None:
    if _LIBC.setns(descriptor, NEW_NET):
        raise OSError(ctypes.get_errno(), "setns")
