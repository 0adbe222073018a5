"""Copies that are kept between runs: complete or not at all, checked before use, dropped when nobody wants them.

The notes of a copy seal it. What is in it is known by its stamps, which the kernel keeps: nothing can be written to a
file, nor put in its place, without new times. Where the stamps are others, as in a cache that was moved to another
machine, all of it is read and hashed. Both are compared in full; the checksum of what is read on the way finds what a
disk has lost without anybody writing.
"""

import contextlib
import os
import time
from pathlib import Path

from servicectx.datadirs.sealing import digest, manifest_checksum
from servicectx.datadirs.tree import Copied, Entry, Owner, Size, copy_tree, measure, survey
from servicectx.system import directories, processes
from servicectx.system.checkpoints import step
from servicectx.system.directories import Owners
from servicectx.system.removal import remove_entry, remove_tree

UNUSED = 30 * 24 * 3600.0  # seconds after which a copy that nobody used is dropped


def store(source: Path | int, place: Path, link: bool = False, owners: Owners = None, **notes: str) -> None:
    """Keep a copy of `source` as the directory `place`, complete or not at all, instead of a damaged one.

    `source` may be an open directory, and `owners` those of `copy_tree`. The loser of a race is thrown away. Where
    nothing can be kept, nothing is.
    """
    with contextlib.suppress(OSError):
        temporary = half_made(place)
        try:
            copied = copy_tree(source, temporary, link=link, owners=owners)
            if not link:
                notes |= {"checksum": str(copied.checksum), "digest": digest(temporary, but=MANIFEST)}
            write_manifest(temporary, copied.size, stamped=not link, **notes)
            step("kept")
            if place.exists() and not is_prepared(place):
                drop(place)
            os.rename(temporary, place)
        finally:
            remove_tree(temporary)


def restore(place: Path, target: Path | Entry, owner: Owner | None = None, hands: int = 1) -> dict[str, str] | None:
    """Copy what `keep` kept to the new directory `target`; gives its notes. None: nothing is kept, or not all of it.

    One that is complete but holds something else than what was kept is of no use to anybody, and dropped. So is one
    that holds a file of another user. `target`, `owner` and `hands` are those of `copy_tree`.
    """
    said = _manifest(place)
    if said is None:
        return None
    _touch(place)  # before: what is oldest goes first when the cache is full
    try:
        copied = copy_tree(place, target, owner, hands=hands, but=MANIFEST, owners=[os.geteuid()])
        if _is_complete(copied.size, said):
            if _is_genuine(place, copied, said):
                return said
            drop(place)
    except directories.Unsafe:
        drop(place)
    except OSError:  # somebody removes it at this very moment
        pass
    remove_at(target)
    return None


def unwrap(directory: int) -> dict[str, str] | None:
    """Make a kept copy, an open directory, a plain one; gives its notes. None: it is not what was kept."""
    said = _manifest_in(directory)
    try:
        if said is not None:
            os.unlink(MANIFEST, dir_fd=directory)
            found = survey(directory)
            return (
                said
                if _is_complete(found.size, said) and said.get("stamps") == manifest_checksum(found.stamps)
                else None
            )
    except OSError:
        pass
    return None


def half_made(place: Path) -> Path:
    """Where this process may make what is then renamed to `place`. What the dead left there is removed."""
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    drop_abandoned(place.parent)
    return place.parent / f".{place.name}.{os.getpid()}"


def is_prepared(place: Path) -> bool:
    """Whether `place` is a complete kept copy. Only `bring` reads what is in it."""
    said = _manifest(place)
    try:
        return said is not None and _is_complete(measure(place, but=MANIFEST), said)
    except OSError:
        return False


def size(place: Path) -> int | None:
    """Bytes in a kept copy, as noted. None: nothing is kept there."""
    said = _manifest(place)
    return int(said["bytes"]) if said is not None else None


def drop(place: Path) -> None:
    """Remove a kept copy: first from sight, so that nobody finds half of it. Others may do the same meanwhile."""
    aside = place.parent / f".{place.name}.{os.getpid()}.{os.getpid()}"
    with contextlib.suppress(OSError):
        os.rename(place, aside)
        step("dropping")
    remove_tree(aside)


def drop_abandoned(folder: Path) -> None:
    """Remove half-made copies whose makers are dead, and whole ones that nobody has used for long."""
    for path in folder.iterdir():
        maker = path.name.rpartition(".")[2] if path.name.startswith(".") else ""
        if maker.isdigit():
            if processes.identity(int(maker)) is None:
                remove_tree(path)
        elif last_used(path) < time.time() - UNUSED:
            drop(path)


def last_used(place: Path) -> float:
    """`bring` touches the notes; a directory without notes is not ours to drop."""
    try:
        return (place / MANIFEST).lstat().st_mtime
    except OSError:
        return time.time()


def remove_at(target: Path | Entry) -> None:
    """Remove what `copy_tree` may have made there."""
    if isinstance(target, Path):
        remove_tree(target)
    else:
        remove_entry(*target)


def write_manifest(place: Path, size: Size | None = None, stamped: bool = True, **said: str) -> None:
    """Make a plain directory a kept copy, once it has the name that it is looked for by. Its size is `size`, if given.

    `stamped`: anything that is done to its files later will be noticed.
    """
    with directories.entered(place) as directory:
        found = survey(directory)
        size = size or found.size
        said = {**said, "files": str(size.files), "bytes": str(size.bytes)}
        if stamped:
            said["stamps"] = manifest_checksum(found.stamps)
        _write_manifest_at(directory, MANIFEST, said)


MANIFEST = ".servicectx"
_LARGEST = 65536  # bytes of notes


def _write_manifest_at(directory: int, name: str, said: dict[str, str]) -> None:
    text = "".join(f"{name}={value}\n" for name, value in said.items())
    with open(directories.create_file(name, directory), "w", encoding="utf-8") as file:
        file.write(f"{text}{manifest_checksum([text])}\n")


def _manifest(place: Path) -> dict[str, str] | None:
    """None: there are none, or they are not what was noted down, or not by this user."""
    try:
        with directories.entered(place) as directory:
            return _manifest_in(directory)
    except OSError:
        return None


def _manifest_in(directory: int) -> dict[str, str] | None:
    try:
        with open(directories.open_file(MANIFEST, directory, [os.geteuid()]), encoding="utf-8") as file:
            *lines, last = file.read(_LARGEST).splitlines(keepends=True)
        if last.strip() == manifest_checksum(["".join(lines)]):
            said = dict(line.rstrip("\n").split("=", 1) for line in lines)
            return said if {"files", "bytes"} <= said.keys() else None
    except (OSError, ValueError):
        pass
    return None


def _is_complete(size: Size, said: dict[str, str]) -> bool:
    return (said["files"], said["bytes"]) == (str(size.files), str(size.bytes))


def _is_genuine(place: Path, copied: Copied, said: dict[str, str]) -> bool:
    """Whether what was copied is what was kept. May raise OSError."""
    if said.get("checksum") != str(copied.checksum):
        return False
    stamps = manifest_checksum(copied.stamps)
    if said.get("stamps") == stamps:
        return True
    if said.get("digest") != digest(place, but=MANIFEST):
        return False
    if manifest_checksum(survey(place, but=MANIFEST).stamps) != stamps:  # somebody writes to it this very moment
        return False
    _write_manifest_again(place, {**said, "stamps": stamps})
    return True


def _write_manifest_again(place: Path, said: dict[str, str]) -> None:
    """The next use need not read it all. The cache may be read-only."""
    temporary = f".{place.name}.notes.{os.getpid()}"
    with contextlib.suppress(OSError), directories.parent_of(place) as parent:
        remove_entry(parent, temporary)
        try:
            _write_manifest_at(parent, temporary, said)
            with directories.entered(place.name, parent, [os.geteuid()]) as directory:
                os.rename(temporary, MANIFEST, src_dir_fd=parent, dst_dir_fd=directory)
        finally:
            remove_entry(parent, temporary)


def _touch(place: Path) -> None:
    with contextlib.suppress(OSError), directories.entered(place) as directory:
        notes = directories.open_file(MANIFEST, directory, [os.geteuid()])
        try:
            os.utime(notes)
        finally:
            os.close(notes)
