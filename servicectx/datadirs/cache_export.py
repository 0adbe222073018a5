"""The export of copies in the cache to an archive. Each copy is read in full and sealed anew for it."""

import contextlib
import io
import json
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

from servicectx.datadirs import archive, prepared
from servicectx.datadirs.archive import ArchiveError
from servicectx.datadirs.cache import Cache, Entry
from servicectx.datadirs.label import Label
from servicectx.system import directories, files

LEVEL = 3  # of gzip: higher levels take much longer for a few percent


def export(cache: Cache, file: Path, entries: Sequence[Entry], machine: str) -> list[tuple[Entry, str]]:
    """Write the copies to `file`, which is replaced at once; mode 0600, because it contains the passwords of the data.

    Returns the copies that were left out, each with its reason. `machine` is checked by the import. Raises
    ArchiveError where no copy is left, and where the file cannot be written.
    """
    temporary = files.beside(file)
    try:
        files.check_replaceable(file)
        descriptor = os.open(temporary, directories.NEW_FILE, 0o600)
        try:
            with (
                open(descriptor, "wb") as raw,
                tarfile.open(fileobj=raw, mode="w:gz", compresslevel=LEVEL, format=tarfile.PAX_FORMAT) as tar,
            ):
                left_out = _write(tar, cache, entries, machine)
            os.replace(temporary, file)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
    except OSError as error:
        raise ArchiveError(
            f"{file} was not written: {error.strerror or error}; free some space, or choose another file"
        ) from error
    return left_out


def _write(tar: tarfile.TarFile, cache: Cache, entries: Sequence[Entry], machine: str) -> list[tuple[Entry, str]]:
    _add_bytes(tar, archive.MARKER, archive.marker())
    _add_bytes(tar, archive.HEAD, json.dumps({"format": archive.FORMAT, "machine": machine}).encode())
    written, left_out = [], []
    for entry in entries:
        with archive.workspace(cache) as work:
            if problem := _seal(entry, work):
                left_out.append((entry, problem))
                continue
            _add_copy(tar, entry, work / "sealed")
            written.append([entry.kind, entry.name])
    if not written:
        reasons = "; ".join(f"{entry.name}: {problem}" for entry, problem in left_out)
        raise ArchiveError(f"no copy can be exported ({reasons})")
    _add_bytes(tar, archive.END, json.dumps({"copies": written}).encode())
    return left_out


def _seal(entry: Entry, work: Path) -> str | None:
    """Make a checked copy of the entry with safe modes, `sealed` in `work`. The result is the reason of a failure."""
    copy, sealed = work / "copy", work / "sealed"
    manifest = prepared.restore(entry.path, copy)
    if manifest is None:
        return "it is incomplete or was changed, or it was removed meanwhile"
    for folder, folders, names in os.walk(copy):
        for name in [*folders, *names]:
            path = Path(folder, name)
            if not path.is_symlink():
                continue
            if not archive.is_inside(str(path.relative_to(copy)), os.readlink(path)):
                return f"its link {path.relative_to(copy)} leaves it"
        _make_safe(Path(folder), names)
    label = Label(entry.service, entry.version, entry.setup, entry.project)
    prepared.store(copy, sealed, label=label, secret=manifest.get("secret", ""))
    return None if prepared.is_prepared(sealed) else "there is no room for a second copy in the cache's directory"


def _make_safe(folder: Path, names: list[str]) -> None:
    """Give the directory and its files the modes that an import gives them, so that the seal is that of the import."""
    for path, is_directory in ((folder, True), *((folder / name, False) for name in names)):
        if not path.is_symlink():
            path.chmod(archive.safe_mode(path.stat().st_mode, is_directory))


def _add_copy(tar: tarfile.TarFile, entry: Entry, sealed: Path) -> None:
    """Add a sealed copy, without its owner, and with its times: those of its storage and of its last use."""
    stored = prepared.stored_at(entry.path) or entry.last_used
    top = f"{archive.TOP}/{entry.kind}/{entry.name}"

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mtime = int(stored if member.name == top else entry.last_used)
        return member

    tar.add(sealed, top, filter=plain)


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(f"{archive.TOP}/{name}")
    member.size, member.mode = len(content), 0o600
    tar.addfile(member, io.BytesIO(content))
