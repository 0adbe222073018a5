"""Cryptographic hashes: of the facts about a tree, and of its whole content."""

import os
import stat
from pathlib import Path

from servicectx.system import directories
from servicectx.system.originals import open

CHUNK = 1 << 18  # bytes


def manifest_checksum(lines: list[str]) -> str:
    """The hash of the lines, in their order."""
    try:
        from _blake2 import blake2b  # hashlib loads OpenSSL first, which takes longer than the hash
    except ImportError:
        from hashlib import blake2b

    return blake2b("\n".join(lines).encode(errors="surrogateescape"), digest_size=32).hexdigest()


def digest(place: Path, exclude: str) -> str:
    """The hash of a directory's names, modes, link targets and contents, without the entry `exclude`.

    It reads every file, so it is only for a new copy and for one that was moved. Raises OSError.
    """
    lines: list[str] = []
    with directories.entered(place) as directory:
        _add(directory, "", lines, exclude)
    return manifest_checksum(sorted(lines))


def _add(directory: int, path: str, lines: list[str], exclude: str = "") -> None:
    for name in os.listdir(directory):
        if name == exclude:
            continue
        within = f"{path}/{name}"
        mode, fact = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode, ""
        if stat.S_ISDIR(mode):
            with directories.entered(name, directory) as below:
                _add(below, within, lines)
        elif stat.S_ISLNK(mode):
            mode, fact = stat.S_IFLNK, os.readlink(name, dir_fd=directory)
        else:
            fact = _content(name, directory)
        lines.append(f"{mode:o} {within!r} {fact!r}")


def _content(name: str, directory: int) -> str:
    from hashlib import sha256  # OpenSSL can use the processor's instructions for SHA-256

    hashed = sha256()
    with open(directories.open_file(name, directory), "rb") as file:
        while chunk := file.read(CHUNK):
            hashed.update(chunk)
    return hashed.hexdigest()
