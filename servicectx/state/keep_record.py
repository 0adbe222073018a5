"""The record of kept data: `kept.json` beside the data names the program that wrote it. Its lock marks use.

The record lies in the container of the data. It is written and read relative to that directory, never through a link.
"""

import contextlib
import fcntl
import os
import shlex
import stat
from pathlib import Path
from typing import Any, NamedTuple

from servicectx.errors import KeptDataError
from servicectx.system import reading
from servicectx.system.originals import json, open, time

FILE = "kept.json"
VERSION = 1
MAX_SIZE = 1 << 20  # bytes; options and a password take a few hundred

_FIND = "give the path that the end of a run named; `servicectx prune` lists kept data"


class KeepRecord(NamedTuple):
    """The origin of kept data. `options` is None where they are not plain data; then a user must give them again."""

    service: str
    name: str
    options: dict[str, Any] | None
    program: str
    program_state: str
    secret: str
    server_version: str | None = None
    since: float = 0.0


def encode(record: KeepRecord) -> str:
    return json.dumps({"version": VERSION, **record._asdict()}, indent=1) + "\n"


def decode(text: str) -> KeepRecord:
    """The record in `text`. Raises ValueError for a text that `encode` of this version did not write."""
    raw = reading.parse_json(text)
    if not isinstance(raw, dict) or raw.pop("version", None) != VERSION:
        raise ValueError("another version of servicectx or another program wrote it")
    try:
        record = KeepRecord(**raw)
    except TypeError:
        raise ValueError("its fields are not the fields of a record") from None
    texts = (record.service, record.name, record.program, record.program_state, record.secret)
    if not all(isinstance(text, str) for text in texts) or not isinstance(record.options, dict | None):
        raise ValueError("a field has the wrong type")
    return record


def write_draft(directory: Path, record: KeepRecord) -> None:
    """Write the record into the directory of a running instance, for the process that ends the instance."""
    with _opened(directory) as parent:
        _write(parent, encode(record))


def publish(directory: Path, container: Path) -> None:
    """Copy the draft in `directory` beside the data. Without a draft, or with an existing record, do nothing."""
    with contextlib.suppress(OSError, ValueError), _opened(directory) as source, _opened(container) as target:
        text = _read(source)
        if not is_record(target):
            _write(target, text)


def has_record(container: Path) -> bool:
    with contextlib.suppress(OSError), _opened(container) as parent:
        return is_record(parent)
    return False


def is_record(parent: int) -> bool:
    """Whether the open directory `parent` contains a record of this user's."""
    try:
        status = os.stat(FILE, dir_fd=parent, follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()


def read(container: Path) -> KeepRecord:
    """The record of the data in `container`. Raises KeptDataError, with the cure."""
    if not container.exists():
        raise KeptDataError(path=str(container), problem="there is no such directory", cure=_FIND)
    try:
        with _opened(container) as parent:
            return decode(_read(parent, container))
    except FileNotFoundError:
        owner = next((parent for parent in container.absolute().parents[:2] if has_record(parent)), None)
        problem = f"it holds no {FILE}, so keep_data did not leave it"
        cure = f"its data belongs to {owner}: servicectx open {shlex.quote(str(owner))}" if owner else _FIND
        raise KeptDataError(path=str(container), problem=problem, cure=cure) from None
    except OSError as error:
        cure = "open it as the user that kept the data"
        raise KeptDataError(
            path=str(container), problem=f"{FILE} cannot be read: {error.strerror}", cure=cure
        ) from None
    except ValueError as error:
        problem = f"{FILE} is not a record that this version can read: {error}"
        cure = "use the version of servicectx that kept the data"
        raise KeptDataError(path=str(container), problem=problem, cure=cure) from None


def lock(container: Path) -> int:
    """Lock the data, until no process has the returned descriptor open. Raises KeptDataError: in use."""
    with _opened(container) as parent:
        descriptor = os.open(FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _holder(os.fstat(descriptor))
        os.close(descriptor)
        cure = "leave that instance first (`servicectx status` lists it), or give the same options to share it"
        raise KeptDataError(path=str(container), problem=f"the data is in use{holder}", cure=cure) from None
    return descriptor


def is_locked(container: Path) -> bool:
    """Whether an instance runs on the data; returns at once."""
    try:
        with _opened(container) as parent:
            descriptor = os.open(FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def data_path(container: Path) -> Path:
    """The directory of the server's own files."""
    return next((path for path in (container / "run" / "data", container / "data") if path.is_dir()), container)


def advice(name: str, container: str) -> str:
    """The message at the end of a run, with the command that opens the data again."""
    return f"the data of {name} are kept; open them with: servicectx open {shlex.quote(container)}"


@contextlib.contextmanager
def _opened(directory: Path) -> Any:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read(parent: int, container: Path | None = None) -> str:
    """The text of the record. With `container`, its owner is also checked, on the descriptor that is read."""
    descriptor = os.open(FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is not a regular file")
        if container is not None:
            _check_owner(container, os.fstat(descriptor))
        return file.read(MAX_SIZE).decode()


def _write(parent: int, text: str) -> None:
    """Write the record: it holds the only password for the data."""
    write_synced(parent, FILE, text)


def write_synced(parent: int, name: str, text: str) -> None:
    """Write a private file in the open directory `parent` atomically, and sync it to disk. Raises OSError."""
    temporary = f"{name}.tmp"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=parent)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600, dir_fd=parent)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)


def _check_owner(container: Path, status: os.stat_result) -> None:
    """Refuse a record of another user, which could make this user run any program with any arguments."""
    path = container / FILE
    if status.st_uid != os.geteuid():
        user = _user_name(status.st_uid)
        cure = f"open it as {user}: sudo -u {user} servicectx open {shlex.quote(str(container))}"
        raise KeptDataError(path=str(path), problem=f"it belongs to {user}, not to you", cure=cure)
    if status.st_mode & 0o022:
        problem = f"others can write to it (mode {stat.S_IMODE(status.st_mode):04o})"
        raise KeptDataError(path=str(path), problem=problem, cure=f"chmod go-w {shlex.quote(str(path))}")


def _user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def _holder(status: os.stat_result) -> str:
    """The process that holds the lock, if the kernel lists it (Linux)."""
    inode = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return ""
    for fields in map(str.split, lines):
        if len(fields) > 5 and fields[1] == "FLOCK" and fields[5] == inode and fields[4] not in ("0", "-1"):
            return f" by an instance of process {fields[4]}"
    return ""


def new(service: str, name: str, options: dict[str, Any], program: str, program_state: str, secret: str) -> KeepRecord:
    """The record of an instance that is about to start. Its version is added once the server has answered."""
    plain: dict[str, Any] | None
    try:
        plain = json.loads(json.dumps(options, default=dict))
    except (TypeError, ValueError, RecursionError):
        plain = None
    return KeepRecord(service, name, plain, program, program_state, secret, since=time.time())
