"""Prepared copies of directories, stored between runs: complete or absent, checked before use, dropped when unused.

The manifest of a copy seals it with the stamps of its files, which the kernel keeps: a write to a file, or its
replacement, changes the times in its stamp. Where the stamps differ, as in a cache that was moved to another machine,
the whole copy is read and hashed. Both are compared in full. The checksum of the bytes that are copied also finds
damage by the disk, without any write.
"""

import contextlib
import os
import stat
import time
from pathlib import Path

from servicectx.datadirs.label import Label
from servicectx.datadirs.sealing import digest, manifest_checksum
from servicectx.datadirs.tree import Copied, Entry, Owner, Size, copy_tree, measure, survey
from servicectx.system import directories
from servicectx.system.checkpoints import step
from servicectx.system.directories import Owners
from servicectx.system.removal import remove_entry, remove_tree

UNUSED = 30 * 24 * 3600.0  # seconds after which an unused copy is dropped


def store(
    source: Path | int,
    place: Path,
    link: bool = False,
    owners: Owners = None,
    label: Label | None = None,
    **fields: str,
) -> None:
    """Store a copy of `source` as the directory `place`, complete or not at all. A damaged copy there is replaced.

    `source` may be an open directory; `owners` as in `copy_tree`; `label` and `fields` go into the manifest. The loser
    of a race is removed. Where a copy cannot be stored, the call has no effect.
    """
    with contextlib.suppress(OSError):
        _drop_unused(place.parent)
        with _half_made(place.parent) as temporary:
            copied = copy_tree(source, temporary, link=link, owners=owners)
            if not link:
                fields |= {"checksum": str(copied.checksum), "digest": digest(temporary, exclude=MANIFEST)}
            write_manifest(temporary, copied.size, stamped=not link, label=label, **fields)
            step("kept")
            if place.exists() and not is_prepared(place):
                drop(place)
            os.rename(temporary, place)


def restore(place: Path, target: Path | Entry, owner: Owner | None = None, workers: int = 1) -> dict[str, str] | None:
    """Copy a prepared copy to the new directory `target` and return its manifest. None: it is missing or incomplete.

    A complete copy with a changed content is dropped, like one with a file of another user. `target`, `owner` and
    `workers` are the arguments of `copy_tree`.
    """
    manifest = read_manifest(place)
    if manifest is None:
        return None
    _touch(place)  # before the copy: a full cache drops the oldest entries first
    try:
        copied = copy_tree(place, target, owner, workers=workers, exclude=MANIFEST, owners=[os.geteuid()])
        if _is_complete(copied.size, manifest):
            if _is_genuine(place, copied, manifest):
                return manifest
            drop(place)
    except directories.Unsafe:
        drop(place)
    except OSError:  # another process is removing the copy
        pass
    remove_at(target)
    return None


def unwrap(directory: int) -> dict[str, str] | None:
    """Turn a prepared copy, an open directory, into a plain one and return its manifest. None: its content differs."""
    manifest = _manifest_in(directory)
    try:
        if manifest is not None:
            os.unlink(MANIFEST, dir_fd=directory)
            found = survey(directory)
            return (
                manifest
                if _is_complete(found.size, manifest) and manifest.get("stamps") == manifest_checksum(found.stamps)
                else None
            )
    except OSError:
        pass
    return None


def is_prepared(place: Path) -> bool:
    """Whether `place` is a complete prepared copy, by number and size of its files. Only `restore` reads them."""
    manifest = read_manifest(place)
    try:
        return manifest is not None and _is_complete(measure(place, exclude=MANIFEST), manifest)
    except OSError:
        return False


def size(place: Path) -> int | None:
    """The bytes in a prepared copy by its manifest. None: there is no copy."""
    manifest = read_manifest(place)
    return int(manifest["bytes"]) if manifest is not None else None


def stored_at(place: Path) -> float | None:
    """When a copy was stored, in seconds since 1970; None without a copy. Uses of a copy change only its manifest."""
    try:
        return place.stat(follow_symlinks=False).st_mtime
    except OSError:
        return None


def drop(place: Path) -> None:
    """Rename a prepared copy, then remove it, so that no process finds half of it. Concurrent calls are safe."""
    if not os.path.lexists(place):
        return
    try:
        with _half_made(place.parent) as renamed:
            os.rename(place, renamed)
            step("dropping")
    except FileNotFoundError:  # another process drops it
        pass
    except OSError:  # no room for the lock, or a file system without locks: a reader may find half of it
        remove_tree(place)


def drop_abandoned(folder: Path) -> None:
    """Remove half-made copies of dead processes, and prepared copies unused for `UNUSED` seconds. Raises OSError."""
    from servicectx.datadirs.scratch import remove_abandoned

    remove_abandoned(folder)
    _drop_unused(folder)


def _drop_unused(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        for path in folder.iterdir():
            if last_used(path) < time.time() - UNUSED:
                drop(path)


def has_manifest(place: Path) -> bool:
    """Whether `place` is a directory with a manifest, which may be damaged. This library did not make other entries."""
    try:
        return stat.S_ISREG((place / MANIFEST).lstat().st_mode)
    except OSError:
        return False


def last_used(place: Path) -> float:
    """The time of the manifest, which `restore` touches; now for a directory without one, which is never dropped."""
    try:
        return (place / MANIFEST).lstat().st_mtime
    except OSError:
        return time.time()


def remove_at(target: Path | Entry) -> None:
    """Remove a target of `copy_tree`."""
    if isinstance(target, Path):
        remove_tree(target)
    else:
        remove_entry(*target)


def write_manifest(
    place: Path, size: Size | None = None, stamped: bool = True, label: Label | None = None, **manifest: str
) -> None:
    """Make a plain directory a prepared copy, before its rename to the final name. `size` defaults to its own size.

    `stamped`: later changes of its files are detected.
    """
    with directories.entered(place) as directory:
        found = survey(directory)
        size = size or found.size
        manifest |= {} if label is None else label.fields()
        manifest = {**manifest, "files": str(size.files), "bytes": str(size.bytes)}
        if stamped:
            manifest["stamps"] = manifest_checksum(found.stamps)
        _write_manifest_at(directory, MANIFEST, manifest)


MANIFEST = ".servicectx"
_LARGEST = 65536  # bytes of a manifest


def _write_manifest_at(directory: int, name: str, manifest: dict[str, str]) -> None:
    text = "".join(f"{name}={value}\n" for name, value in manifest.items())
    with open(directories.create_file(name, directory), "w", encoding="utf-8") as file:
        file.write(f"{text}{manifest_checksum([text])}\n")


def read_manifest(place: Path) -> dict[str, str] | None:
    """Read a manifest. None: it is missing, damaged, or belongs to another user."""
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
            manifest = dict(line.rstrip("\n").split("=", 1) for line in lines)
            return manifest if {"files", "bytes"} <= manifest.keys() else None
    except (OSError, ValueError):
        pass
    return None


def _half_made(folder: Path) -> contextlib.AbstractContextManager[Path]:
    from servicectx.datadirs.scratch import half_made  # most starts store nothing

    return half_made(folder)


def _is_complete(size: Size, manifest: dict[str, str]) -> bool:
    return (manifest["files"], manifest["bytes"]) == (str(size.files), str(size.bytes))


def _is_genuine(place: Path, copied: Copied, manifest: dict[str, str]) -> bool:
    """Whether the copied content is the stored content. Raises OSError."""
    if manifest.get("checksum") != str(copied.checksum):
        return False
    stamps = manifest_checksum(copied.stamps)
    if manifest.get("stamps") == stamps:
        return True
    if manifest.get("digest") != digest(place, exclude=MANIFEST):
        return False
    if manifest_checksum(survey(place, exclude=MANIFEST).stamps) != stamps:  # another process is writing to it
        return False
    _write_manifest_again(place, {**manifest, "stamps": stamps})
    return True


def _write_manifest_again(place: Path, manifest: dict[str, str]) -> None:
    """Record the new stamps, so that the next use need not hash all files. The cache may be read-only."""
    with contextlib.suppress(OSError), _half_made(place.parent) as temporary, directories.parent_of(place) as parent:
        _write_manifest_at(parent, temporary.name, manifest)
        with directories.entered(place.name, parent, [os.geteuid()]) as directory:
            os.rename(temporary.name, MANIFEST, src_dir_fd=parent, dst_dir_fd=directory)


def _touch(place: Path) -> None:
    with contextlib.suppress(OSError), directories.entered(place) as directory:
        descriptor = directories.open_file(MANIFEST, directory, [os.geteuid()])
        try:
            os.utime(descriptor)
        finally:
            os.close(descriptor)
