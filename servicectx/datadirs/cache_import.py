"""The import of an archive into the cache. Every member is checked first, and every copy before it is stored.

A copy is unpacked into a private directory, compared with the digest in its manifest, and stored as a new one.
"""

import gzip
import json
import os
import posixpath
import stat
import tarfile
import time
import zlib
from pathlib import Path
from typing import IO, Any, NamedTuple

from servicectx.datadirs import archive, label, prepared
from servicectx.datadirs.archive import ArchiveError, Copy
from servicectx.datadirs.cache import Cache
from servicectx.system.removal import remove_tree

DAMAGED = (tarfile.TarError, EOFError, zlib.error, ValueError, TypeError, OverflowError)
BLOCK = 512  # bytes that a member takes at least, in the archive and on most file systems
LARGEST_READ = 2**20  # bytes; tarfile reads the extended header of a member as a whole
GZIP = b"\x1f\x8b"
OTHER_KINDS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a FIFO",
}
AGAIN = "make the archive again with `servicectx cache export`"


class Imported(NamedTuple):
    """The copies that were stored, those that the cache had already, and the bytes of the former."""

    stored: list[Copy]
    kept: list[Copy]
    size: int


def import_archive(cache: Cache, file: Path, machine: str) -> Imported:
    """Store the copies of the archive that the cache lacks. Files get the owner of this process and safe modes.

    Raises ArchiveError for an archive that is incomplete, changed, of another machine, or larger than the limit of the
    cache. Copies that were stored before the fault stay; each of them is complete.
    """
    archive.check_python()
    with _opened(file) as raw, archive.workspace(cache) as work:
        importer = _Importer(cache, file, machine, work)
        try:
            with tarfile.open(fileobj=_unpacked(raw), mode="r:") as tar:
                return importer.run(tar)
        except DAMAGED as error:
            raise importer.fault(f"it is incomplete or damaged ({error}); {AGAIN}") from error
        except OSError as error:
            raise importer.fault(f"{error.strerror or error}; free some space, or import again") from error


def _opened(file: Path) -> IO[bytes]:
    """The regular file, without a wait for the writer of a FIFO."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise ArchiveError(f"{file} cannot be read: {error.strerror}; check the file and its permissions") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ArchiveError(f"{file} is not a regular file, but a directory, a device or a FIFO; name the archive")
    return open(descriptor, "rb")


def _unpacked(raw: IO[bytes]) -> Any:
    compressed = raw.read(len(GZIP)) == GZIP
    raw.seek(0)
    return _Bounded(gzip.GzipFile(fileobj=raw) if compressed else raw)


class _Bounded:
    """A stream without large reads, which an archive from a stranger could ask for."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.tell = stream.tell
        self.seek = stream.seek

    def read(self, size: int) -> bytes:
        if size > LARGEST_READ:
            raise tarfile.ReadError(f"a header has {size} bytes")
        return bytes(self._stream.read(size))


class _Importer:
    """The import of one archive, member by member."""

    def __init__(self, cache: Cache, file: Path, machine: str, work: Path) -> None:
        self._cache = cache
        self._file = file
        self._machine = machine
        self._tree, self._copy = work / "tree", work / "copy"
        self._stored: list[Copy] = []
        self._kept: list[Copy] = []
        self._size = 0  # bytes unpacked
        self._room = 0  # the same with a block for each member, however small
        self._current: Copy | None = None
        self._members: dict[str, bool] = {}  # of the current copy: whether each one is a directory
        self._since = 0.0  # when the current copy was stored

    def run(self, tar: tarfile.TarFile) -> Imported:
        """Import all members. The order is that of an export: head, copies one after the other, end."""
        has_head, end = False, None
        for member in tar:
            tar.members.clear()  # type: ignore[attr-defined]  # millions of members would fill the memory
            if end is not None:
                raise self.fault(f"it goes on after its end with {member.name!r}; {AGAIN}")
            place = self._place(member)
            if place == archive.HEAD:
                self._check_head(self._record(tar, member))
                has_head = True
            elif place == archive.END:
                self._finish()
                end = self._record(tar, member).get("copies")
            elif isinstance(place, Copy):
                if not has_head:
                    raise self.fault(
                        f"its {archive.HEAD} is missing, so `servicectx cache export` did not write it; {AGAIN}"
                    )
                self._unpack(tar, member, place)
        found = [[copy.kind, copy.name] for copy in (*self._stored, *self._kept)]
        if end is None:
            raise self.fault(f"it is half-written: its {archive.END} is missing; {AGAIN}")
        if sorted(end) != sorted(found):
            raise self.fault(f"it names {len(end)} copies and has {len(found)}; {AGAIN}")
        return Imported(self._stored, self._kept, self._size)

    def fault(self, problem: str) -> ArchiveError:
        done = f" ({len(self._stored)} copies were imported before)" if self._stored else ""
        return ArchiveError(f"{self._file}: {problem}{done}")

    # -- members ---------------------------------------------------------------------------------------------------

    def _place(self, member: tarfile.TarInfo) -> Copy | str | None:
        """The place of a member: in a copy, or a file beside the copies; None for what needs no attention.

        Raises ArchiveError for a name or a kind that an export does not write.
        """
        name = member.name
        parts = name.split("/")
        if name.startswith("/"):
            raise self.fault(
                f"the path {name!r} is absolute, and could be anywhere; nothing of it was unpacked; {AGAIN}"
            )
        if {"", ".", ".."} & {*parts} or "\0" in name:
            raise self.fault(f"the path {name!r} leaves the cache or is not plain; nothing of it was unpacked; {AGAIN}")
        if not (member.isdir() or member.issym() or (member.isreg() and not member.issparse())):
            kind = OTHER_KINDS.get(member.type, "of an unknown kind")
            raise self.fault(f"{name!r} is {kind}; copies have directories, regular files and symbolic links; {AGAIN}")
        top, *inside = parts
        if top == archive.TOP and (not inside or inside in ([kind] for kind in archive.EXPORTED)) and member.isdir():
            return None
        if top == archive.TOP and len(inside) == 1 and member.isreg():
            if inside[0] in (archive.HEAD, archive.END):
                return inside[0]
            if inside[0] == archive.MARKER:
                return None
        if top != archive.TOP or len(inside) < 2 or inside[0] not in archive.EXPORTED:
            expected = ", ".join(f"{archive.TOP}/{kind}/NAME" for kind in archive.EXPORTED)
            raise self.fault(f"unknown member {name!r}: an archive of a cache has {expected}; {AGAIN}")
        if not archive.NAME.fullmatch(inside[1]):
            raise self.fault(
                f"the name {inside[1]!r} is not that of a copy, SERVICE-DIGEST with 16 digits: another version of"
                f" servicectx made it, and this one would never use it; {AGAIN}"
            )
        return Copy(inside[0], inside[1], "/".join(inside[2:]))

    def _record(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> dict[str, Any]:
        file = tar.extractfile(member)
        try:
            record = json.loads(file.read(archive.LARGEST_RECORD)) if file is not None else None
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            raise self.fault(f"its {posixpath.basename(member.name)} is damaged; {AGAIN}")
        return record

    def _check_head(self, head: dict[str, Any]) -> None:
        if head.get("format") != archive.FORMAT:
            raise self.fault(
                f"it has the format {head.get('format')!r}, and this version of servicectx reads {archive.FORMAT}; "
                "export and import with the same version"
            )
        if head.get("machine") != self._machine:
            raise self.fault(
                f"its copies were made on {head.get('machine')}, this is {self._machine}, and no start here would use "
                "them; export on a machine or in a container like this one"
            )

    # -- copies ----------------------------------------------------------------------------------------------------

    def _unpack(self, tar: tarfile.TarFile, member: tarfile.TarInfo, place: Copy) -> None:
        whole = place._replace(path="")
        if whole != self._current:
            self._finish()
            self._begin(member, place, whole)
        if whole in self._kept:
            return
        self._check(member, place)
        if member.size < 0:
            raise self.fault(f"{member.name!r} has {member.size} bytes; {AGAIN}")
        self._size += member.size
        self._room += max(member.size, BLOCK)
        if self._room > self._cache.limit:
            raise self.fault(
                f"its copies have more than the {self._cache.limit} bytes of the cache; set SERVICECTX_CACHE_SIZE to "
                "a larger size, or export fewer copies by their names"
            )
        self._members[place.path] = member.isdir()
        plain = member.replace(name=place.path or ".", deep=False)
        tar.extract(plain, self._tree, filter="data")
        if member.isdir():  # the filter leaves it to the umask
            (self._tree / place.path).chmod(archive.safe_mode(member.mode, True))

    def _begin(self, member: tarfile.TarInfo, place: Copy, whole: Copy) -> None:
        if whole in (*self._stored, *self._kept):
            raise self.fault(f"{whole} is there twice; {AGAIN}")
        self._current, self._members, self._since = whole, {}, member.mtime
        if place.path or not member.isdir():
            raise self.fault(f"{whole} is not a directory; {AGAIN}")
        if prepared.is_prepared(self._cache.place(whole.kind, whole.name)):
            self._kept.append(whole)
        else:
            self._tree.mkdir(mode=0o700)

    def _check(self, member: tarfile.TarInfo, place: Copy) -> None:
        """Raises ArchiveError for a member that would be written through a link, or to a place outside its copy."""
        parent = posixpath.dirname(place.path)
        if place.path in self._members or (place.path and not self._members.get(parent)):
            raise self.fault(f"{member.name!r} is there twice, or its directory is not; {AGAIN}")
        if member.issym() and not archive.is_inside(place.path, member.linkname):
            raise self.fault(f"the link {member.name!r} leads to {member.linkname!r}, out of its copy; {AGAIN}")

    def _finish(self) -> None:
        """Check the copy that was unpacked, and store it."""
        current, self._current = self._current, None
        if current is None or current in self._kept:
            return
        manifest = prepared.restore(self._tree, self._copy)
        if manifest is None:
            raise self.fault(f"{current} is incomplete or was changed: its digest differs; {AGAIN}")
        place = self._cache.place(current.kind, current.name)
        named = label.from_manifest(manifest, current.name)
        self._cache.keep(self._copy, place, manifest.get("secret", ""), named=named)
        if not prepared.is_prepared(place):
            room = f"no room in {self._cache.path}; free some space, or set SERVICECTX_CACHE"
            raise self.fault(f"{current} was not stored: there is {room}")
        since = min(self._since, time.time())
        os.utime(place, (since, since))
        self._stored.append(current)
        for unpacked in (self._tree, self._copy):
            remove_tree(unpacked)
