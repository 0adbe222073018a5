"""Copies of directory trees, as cheap as is safe."""

import contextlib
import os
import shutil
from pathlib import Path

Owner = tuple[int, int]


def copy_tree(source: Path, target: Path, owner: Owner | None = None, link: bool = False) -> int:
    """Copy `source` to the new directory `target`; gives the number of files. Modes are kept, times are not.

    With `owner` every copy gets that user and group. With `link` files become hard links where that is possible:
    for programs, never for data that a server writes to.
    """
    mode = source.stat().st_mode & 0o777
    os.mkdir(target, mode)
    os.chmod(target, mode)  # whatever the umask, which is strict in a keeper
    if owner:
        os.chown(target, *owner)
    files = 0
    with os.scandir(source) as entries:
        for entry in entries:
            path = target / entry.name
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), path)
            elif entry.is_dir(follow_symlinks=False):
                files += copy_tree(Path(entry.path), path, owner, link)
            elif entry.is_file(follow_symlinks=False):
                _copy_file(entry.path, str(path), owner, link)
                files += 1
    return files


def count_files(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))


def keep(source: Path, place: Path, link: bool = False, **notes: str) -> None:
    """Keep a copy of `source` as the directory `place`, complete or not at all. The loser of a race is thrown away."""
    with contextlib.suppress(OSError):
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _drop_abandoned(place.parent)
        temporary = place.parent / f".{place.name}.{os.getpid()}"
        try:
            files = copy_tree(source, temporary, link=link)
            _note(temporary, files=str(files), **notes)
            os.rename(temporary, place)
        finally:
            if temporary.exists():
                shutil.rmtree(temporary, ignore_errors=True)


_NOTES = ".servicectx"


def notes(place: Path) -> dict[str, str] | None:
    """What `keep` noted with a kept directory, or None when there is none or it is incomplete."""
    try:
        said = dict(line.split("=", 1) for line in (place / _NOTES).read_text().splitlines())
    except (OSError, ValueError):
        return None
    return said if said.get("files", "").isdigit() and int(said["files"]) == count_files(place) - 1 else None


def _note(place: Path, **said: str) -> None:
    descriptor = os.open(place / _NOTES, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w") as file:
        file.write("".join(f"{name}={value}\n" for name, value in said.items()))


def _copy_file(source: str, target: str, owner: Owner | None, link: bool) -> None:
    if link:
        with contextlib.suppress(OSError):
            os.link(source, target, follow_symlinks=False)
            return
    reading = os.open(source, os.O_RDONLY)
    try:
        status = os.fstat(reading)
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, status.st_mode & 0o777)
        try:
            os.fchmod(writing, status.st_mode & 0o777)
            _pour(reading, writing, status.st_size)
            if owner:
                os.fchown(writing, *owner)
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _pour(reading: int, writing: int, size: int) -> None:
    """The kernel copies where it can: within one file system, else through sendfile, else by hand."""
    left = size
    for move in (_copy_range, _send):
        try:
            while left and (moved := move(reading, writing, left)):
                left -= moved
        except (OSError, AttributeError):  # another file system, an old kernel, another system
            continue
    while left and (chunk := os.read(reading, min(left, 1 << 20))):
        os.write(writing, chunk)
        left -= len(chunk)


def _copy_range(reading: int, writing: int, count: int) -> int:
    return os.copy_file_range(reading, writing, count)


def _send(reading: int, writing: int, count: int) -> int:
    return os.sendfile(writing, reading, None, count)


def _drop_abandoned(folder: Path) -> None:
    """Remove half-made copies whose makers are dead."""
    from servicectx._running import pids

    for path in folder.glob(".*.*"):
        maker = path.name.rpartition(".")[2]
        if maker.isdigit() and pids.identity(int(maker)) is None:
            shutil.rmtree(path, ignore_errors=True)
