"""Copies that are kept between runs: complete or not at all, checked before use, dropped when nobody wants them."""

import contextlib
import os
import time
import zlib
from pathlib import Path

from servicectx._running import pids
from servicectx._running.copying import Copied, Owner, Size, copy_tree, measure
from servicectx._sharing.removal import remove_tree
from servicectx._sharing.steps import step

UNUSED = 30 * 24 * 3600.0  # seconds after which a copy that nobody used is dropped


def keep(source: Path, place: Path, link: bool = False, **notes: str) -> None:
    """Keep a copy of `source` as the directory `place`, complete or not at all, instead of a damaged one.

    The loser of a race is thrown away. Where nothing can be kept, nothing is.
    """
    with contextlib.suppress(OSError):
        temporary = half_made(place)
        try:
            copied = copy_tree(source, temporary, link=link)
            note_down(temporary, copied.size, None if link else copied.checksum, **notes)
            step("kept")
            if place.exists() and not is_kept(place):
                drop(place)
            os.rename(temporary, place)
        finally:
            remove_tree(temporary)


def bring(place: Path, target: Path, owner: Owner | None = None, hands: int = 1) -> dict[str, str] | None:
    """Copy what `keep` kept to the new directory `target`; gives its notes. None: nothing is kept, or not all of it.

    One that is complete but holds something else than what was kept is of no use to anybody, and dropped.
    `owner` and `hands` are those of `copy_tree`.
    """
    said = _notes(place)
    if said is None:
        return None
    _touch(place)  # before: what is oldest goes first when the cache is full
    try:
        copied = copy_tree(place, target, owner, hands=hands, but=_NOTES)
    except OSError:  # somebody removes it at this very moment
        copied = Copied(Size(), 0)
    if _is_complete(copied.size, said):
        if said.get("checksum", str(copied.checksum)) == str(copied.checksum):
            return said
        drop(place)
    remove_tree(target)
    return None


def claim(place: Path) -> dict[str, str] | None:
    """Make a kept copy a plain directory, where it is; gives its notes. None: it is not complete."""
    said = _notes(place)
    try:
        if said is not None:
            (place / _NOTES).unlink()
            return said if _is_complete(measure(place), said) else None
    except OSError:
        pass
    return None


def half_made(place: Path) -> Path:
    """Where this process may make what is then renamed to `place`. What the dead left there is removed."""
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    drop_abandoned(place.parent)
    return place.parent / f".{place.name}.{os.getpid()}"


def is_kept(place: Path) -> bool:
    """Whether `place` is a complete kept copy. Only `bring` reads what is in it."""
    said = _notes(place)
    try:
        return said is not None and _is_complete(measure(place, but=_NOTES), said)
    except OSError:
        return False


def size(place: Path) -> int | None:
    """Bytes in a kept copy, as noted. None: nothing is kept there."""
    said = _notes(place)
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
            if pids.identity(int(maker)) is None:
                remove_tree(path)
        elif last_used(path) < time.time() - UNUSED:
            drop(path)


def last_used(place: Path) -> float:
    """`bring` touches the notes; a directory without notes is not ours to drop."""
    try:
        return (place / _NOTES).stat().st_mtime
    except OSError:
        return time.time()


def note_down(place: Path, size: Size, checksum: int | None = None, **said: str) -> None:
    """Make a plain directory of that content a kept copy, once it has the name that it is looked for by."""
    descriptor = os.open(place / _NOTES, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    said = {**said, "files": str(size.files), "bytes": str(size.bytes)}
    if checksum is not None:
        said["checksum"] = str(checksum)
    text = "".join(f"{name}={value}\n" for name, value in said.items())
    with open(descriptor, "w") as file:
        file.write(f"{text}{_seal(text)}\n")


_NOTES = ".servicectx"


def _notes(place: Path) -> dict[str, str] | None:
    """None: there are none, or they are not what was noted down."""
    try:
        *lines, seal = (place / _NOTES).read_text().splitlines(keepends=True)
        if seal.strip() == _seal("".join(lines)):
            return dict(line.rstrip("\n").split("=", 1) for line in lines)
    except (OSError, ValueError):
        pass
    return None


def _seal(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def _is_complete(size: Size, said: dict[str, str]) -> bool:
    return (said["files"], said["bytes"]) == (str(size.files), str(size.bytes))


def _touch(place: Path) -> None:
    with contextlib.suppress(OSError):
        os.utime(place / _NOTES)
