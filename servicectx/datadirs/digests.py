"""Digests of programs: what a program is, wherever and whenever it was installed.

A digest is computed once. One file in the cache has the digests by path, each with the stamp of the file that was read:
size, inode and times. Another stamp means another digest, so the file is only a memory, never a proof.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from servicectx.datadirs.sealing import manifest_checksum
from servicectx.state import marked, paths
from servicectx.system import reading
from servicectx.system.originals import json, open, time

FILE = "digests"  # in the cache
MOST = 64  # digests in the file; the oldest are left out
CHUNK = 1 << 20  # bytes
FRESH = 100_000_000  # nanoseconds: a file that is changed again so soon may keep its stamp
DIGITS = 32  # hexadecimal digits

Known = dict[str, list[str]]  # path: stamp and digest


def digest_of(path: str) -> str:
    """The digest of a file's content. Raises OSError."""
    status = os.stat(path)
    return remembered(path, stamp(status), status.st_ctime_ns, lambda: _content(path))


def digest_of_all(name: str, files: Iterable[str]) -> str:
    """The digest of the names and contents of small files, remembered under `name`. Raises OSError."""
    found = {path: os.stat(path) for path in sorted(files)}
    stamps = manifest_checksum([f"{path!r} {stamp(status)}" for path, status in found.items()])
    newest = max((status.st_ctime_ns for status in found.values()), default=0)

    def compute() -> str:
        return manifest_checksum([f"{os.path.basename(path)!r} {_content(path)}" for path in found])[:DIGITS]

    return remembered(name, stamps[:DIGITS], newest, compute)


def remembered(name: str, stamp: str, changed: int, compute: Callable[[], str], cache: Path | None = None) -> str:
    """The digest that is known for `name` with `stamp`, else a new one, which is written down.

    `changed`: the time of the last change in nanoseconds. Without a writable cache nothing is written. `cache`: its
    directory, where the caller knows it.
    """
    if (found := _in_process.get(name)) and found[0] == stamp:
        return found[1]
    known = _all(paths.cache() if cache is None else cache).get(name)
    if not (known and known[0] == stamp):
        known = [stamp, compute()]
        if time.time_ns() - changed > FRESH:
            _write(name, known, cache)
    _in_process[name] = known
    return known[1]


def stamp(status: os.stat_result) -> str:
    """The facts of the kernel about a file, which a later write or a replacement changes."""
    times = f"{status.st_mtime_ns} {status.st_ctime_ns}"
    return f"{status.st_size} {status.st_dev} {status.st_ino} {times}"


_in_process: Known = {}


def _content(path: str) -> str:
    from hashlib import sha256  # OpenSSL can use the processor's instructions for SHA-256

    hashed = sha256()
    with open(path, "rb", buffering=0, opener=_regular) as file:
        while chunk := file.read(CHUNK):
            hashed.update(chunk)
    return hashed.hexdigest()[:DIGITS]


def _regular(path: str, flags: int) -> int:
    """Open a regular file, without a wait for the writer of a FIFO."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is not a regular file")
    return descriptor


def _all(cache: Path) -> Known:
    """The digests in the cache; none from a damaged file or from a cache that another account could change."""
    try:
        text, _, checksum = (reading.read_text(cache / FILE) or "").rpartition("\n")
        if text and checksum == manifest_checksum([text]):
            known = json.loads(text)
            return {name: entry for name, entry in known.items() if _is_entry(entry)}
    except (OSError, ValueError, RecursionError, AttributeError, reading.Unreadable):
        pass  # AttributeError: another version has another form
    return {}


def _is_entry(entry: object) -> bool:
    return isinstance(entry, list) and len(entry) == 2 and all(isinstance(text, str) for text in entry)


def _write(name: str, entry: list[str], cache: Path | None) -> None:
    """Add a digest to the file, which is replaced at once. Of two processes that write, one may be lost."""
    if paths.cache_size() == 0:
        return
    from servicectx.datadirs.scratch import half_made  # only for a program that is new here

    with contextlib.suppress(OSError):
        place = paths.cache(make=True) if cache is None else cache
        if not marked.is_marked(place, marked.CACHE):
            return
        known = _all(place)
        known.pop(name, None)
        known[name] = entry
        text = json.dumps(dict(list(known.items())[-MOST:]))
        with half_made(place) as temporary:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(f"{text}\n{manifest_checksum([text])}")
            os.replace(temporary, place / FILE)
