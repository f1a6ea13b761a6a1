"""Power cuts: what a disk has of a directory whose files and names were not fsynced.

A cut leaves the least that POSIX allows, or, with a random generator, anything that a disk may have done
besides: it wrote some pages of a file and not others, and the first changes of a directory.
"""

import os
import random
from pathlib import Path

# Disks write sectors, systems pages.
BLOCK_BYTES = (512, 4096, 4096)


class Fsynced:
    """What shim_power.h keeps of the directory `watched`, in the directory `kept`."""

    def __init__(self, watched: Path, kept: Path) -> None:
        self._watched = watched
        self._kept = kept

    def keep_all(self) -> None:
        """Treat everything that exists now as fsynced."""
        for path in self._kept.iterdir():
            path.unlink()
        if not self._watched.exists():
            return
        for path in (self._watched, *self._watched.rglob("*")):
            if path.is_dir():
                names = "".join(f"= {entry.stat().st_ino} {entry.name}\n" for entry in path.iterdir())
                (self._kept / f"{path.stat().st_ino}.names").write_text(names)
            else:
                (self._kept / str(path.stat().st_ino)).write_bytes(path.read_bytes())

    def restore_contents(self) -> None:
        """Give every file the content of its last fsync, in place: open files see it, too."""
        for path in self._watched.rglob("*"):
            if path.is_file():
                path.write_bytes(self._content(path, None))

    def restore(self, chance: random.Random | None) -> None:
        """Leave what was fsynced, and, with `chance`, some of the rest. No process may use the directory."""
        directories = [self._watched, *(path for path in self._watched.rglob("*") if path.is_dir())]
        for directory in directories:
            self._restore_directory(directory, chance)
        # After the cut, everything is on the disk.
        self.keep_all()

    def _restore_directory(self, directory: Path, chance: random.Random | None) -> None:
        names = self._names(directory, chance)
        number = directory.stat().st_ino
        files = {entry.stat().st_ino: entry for entry in directory.iterdir() if entry.is_file()}
        for held in self._kept.glob(f"{number}.*.held"):
            files.setdefault(held.stat().st_ino, held)
        contents = {
            name: self._content(files[inode], chance) for name, inode in names.items() if inode in files
        }
        for path in files.values():
            path.unlink()
        for name, content in contents.items():
            (directory / name).write_bytes(content)

    def _names(self, directory: Path, chance: random.Random | None) -> dict[str, int]:
        """The inodes of the names that the directory has after the cut."""
        path = self._kept / f"{directory.stat().st_ino}.names"
        lines = [line.split(" ", 2) for line in path.read_text().splitlines()] if path.exists() else []
        names = {name: int(inode) for sign, inode, name in lines if sign == "="}
        changes = [line for line in lines if line[0] != "="]
        # A system that keeps a journal does changes in order.
        done = 0 if chance is None else chance.choice((0, len(changes), chance.randint(0, len(changes))))
        while 0 < done < len(changes) and changes[done - 1][0] == ">":
            done += 1
        for sign, inode, name in changes[:done]:
            if sign == "-":
                names.pop(name, None)
            else:
                names[name] = int(inode)
        return names

    def _content(self, path: Path, chance: random.Random | None) -> bytes:
        copy = self._kept / str(path.stat().st_ino)
        old = copy.read_bytes() if copy.exists() else b""
        if chance is None or chance.random() < 0.3:
            return old
        new = path.read_bytes()
        return new if chance.random() < 0.3 else tear(old, new, chance)


def tear(old: bytes, new: bytes, chance: random.Random) -> bytes:
    """A file of which the disk has some blocks as they were, and others as they became."""
    block, kept = chance.choice(BLOCK_BYTES), chance.random()
    size = chance.choice((len(old), len(new), chance.randint(*sorted((len(old), len(new))))))
    torn = bytearray(old[:size].ljust(size, b"\0"))
    for at in range(0, size, block):
        if chance.random() < kept:
            torn[at : at + block] = new[at : min(at + block, size)].ljust(min(block, size - at), b"\0")
    return bytes(torn)


def flip_bit(path: Path, chance: random.Random) -> int:
    """Flip one bit of a file that is not empty. Returns the offset of its byte."""
    at = chance.randrange(path.stat().st_size)
    with path.open("r+b") as file:
        byte = os.pread(file.fileno(), 1, at)[0]
        os.pwrite(file.fileno(), bytes([byte ^ 1 << chance.randrange(8)]), at)
    return at
