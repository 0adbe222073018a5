"""The storage of the data of instances: in memory, on disk, or in a directory of the caller's."""

import os
import re
import stat
from pathlib import Path

from servicectx.errors import HomeError
from servicectx.state import marked, paths
from servicectx.system import platform
from servicectx.system.originals import open

MEMORY = platform.MEMORY
WORDS = ("memory", "disk")
HEAD_ROOM = 4  # times the size of an empty service


def data_root(need: int, account: str | None, preference: str | None = None, restored: int = 0) -> Path:
    """A directory for the data of one service that `account` (None: this user) can reach.

    `preference` is "memory", "disk" or a directory; HomeError is raised where it cannot be fulfilled. Without one, the
    data is below `SERVICECTX_HOME` if that is set and the account can reach it; else in memory if there is room
    for `restored` bytes and four times `need`; else on disk.
    """
    mode = paths.PASSABLE if account else paths.PRIVATE
    required = restored + HEAD_ROOM * need
    if preference is None:
        own = _in_home(account)
        if "SERVICECTX_HOME" in os.environ and own is not None:
            return _first([own], mode)
        if is_roomy(MEMORY, required):
            return _first([MEMORY / _mine(), *_on_disk(account)], mode)
        return _first(_on_disk(account), mode)
    if preference == "memory":
        return _first(_memory(required, account), mode)
    if preference == "disk":
        return _first(_disk(restored + need, account), mode)
    directory = _given(Path(preference), restored + need, account)
    return _first([directory / _name_in(directory)], mode)


def known_roots() -> set[Path]:
    """The possible data roots, except in directories that callers named as `storage`."""
    home, temporary = paths.home(), paths.temporary()
    return {home / "data", MEMORY / _mine(), temporary / f"{_mine()}-data", Path("/var/tmp") / f"{_mine()}-data"}


def is_given(root: Path) -> bool:
    """Whether `root` is the marked directory in a directory that a caller named as `storage`."""
    return root.name in (paths.IN_STORAGE, f"{_mine()}-data") and root not in known_roots()


def is_memory(path: Path) -> bool:
    """Whether `path` is on a file system in memory (Linux; elsewhere False)."""
    return _file_system(path) in ("tmpfs", "ramfs")


def is_roomy(path: Path, need: int) -> bool:
    """Whether this user can write more than `need` bytes there."""
    return os.access(path, os.W_OK) and free(path) > need


def free(path: Path) -> int:
    """Free bytes at `path`. In memory, at most the memory that the machine has available."""
    try:
        room = os.statvfs(path)
    except OSError:
        return 0
    left = room.f_bavail * room.f_frsize
    return min(left, _spare_memory()) if is_memory(path) else left


# -- preferences ---------------------------------------------------------------------------------------------------


def _first(candidates: list[Path], mode: int) -> Path:
    """The first path that is a marked directory or can become one. Raises the HomeError of the last path."""
    for path in candidates[:-1]:
        try:
            return marked.make(path, marked.DATA, mode)
        except HomeError:
            continue  # such as a foreign directory of that name
    return marked.make(candidates[-1], marked.DATA, mode)


def _name_in(directory: Path) -> str:
    """The name of the marked directory in a caller's directory; a sticky one may be shared by several users."""
    return paths.IN_STORAGE if directory.stat().st_uid == os.geteuid() else f"{_mine()}-data"


def _memory(required: int, account: str | None) -> list[Path]:
    candidates = [path for path in _in_memory(account) if is_memory(_existing(path))]
    if roomy := [path for path in candidates if is_roomy(_existing(path), required)]:
        return roomy
    cure = 'use storage="disk", or mount a tmpfs there (docker run --shm-size=1g)'
    if not candidates:
        problem = 'storage="memory" needs a tmpfs, and this path is not on one'
        raise HomeError(path=str(MEMORY), problem=problem, cure=cure)
    path = _existing(candidates[0])
    problem = f'storage="memory": {_mib(free(path))} are free, and the data needs {_mib(required)} with head room'
    raise HomeError(path=str(path), problem=problem, cure=cure)


def _disk(required: int, account: str | None) -> list[Path]:
    candidates = [path for path in _on_disk(account) if not is_memory(_existing(path))]
    if roomy := [path for path in candidates if is_roomy(_existing(path), required)]:
        return roomy
    cure = 'set SERVICECTX_HOME or TMPDIR to a directory on a disk, or use storage="/a/directory"'
    if not candidates:
        looked = ", ".join(str(path) for path in _on_disk(account))
        raise HomeError(path=looked, problem='storage="disk" needs a disk, and these paths are in memory', cure=cure)
    path = _existing(candidates[0])
    problem = f'storage="disk": {_mib(free(path))} are free, and the data needs {_mib(required)}'
    raise HomeError(path=str(path), problem=problem, cure=cure)


def _given(path: Path, required: int, account: str | None) -> Path:
    """Check a directory of the caller's without changing it. Raises HomeError."""
    problem, cure = "", 'give "memory", "disk", or an existing directory'
    if not path.is_dir():
        problem = "the data cannot be stored there: it is not a directory"
    elif not os.access(path, os.W_OK | os.X_OK):
        problem, cure = "the data cannot be stored there: this user cannot write there", f"chmod u+wx {path}"
    elif (mode := path.stat().st_mode) & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
        problem = f"others can write to it (mode {stat.S_IMODE(mode):04o}), and so replace your data"
        cure = f"chmod go-w {path}"
    elif account is not None and not paths.passable(path):
        closed = next(part for part in [path, *path.parents][::-1] if not paths.passable(part))
        problem = f"the server runs as {account}, and this account cannot pass {closed}"
        cure = f"chmod o+x {closed}, or give a directory that all users can pass"
    elif free(path) <= required:
        problem = f"{_mib(free(path))} are free there, and the data needs {_mib(required)}"
        cure = "free some space, or give another directory"
    if problem:
        raise HomeError(path=str(path), problem=problem, cure=cure)
    return path


# -- paths, best first ---------------------------------------------------------------------------------------------


def _in_memory(account: str | None) -> list[Path]:
    own = [path] if (path := _in_home(account)) is not None else []
    shared = [MEMORY / _mine(), paths.temporary() / f"{_mine()}-data"]
    return own + shared if "SERVICECTX_HOME" in os.environ else shared + own


def _on_disk(account: str | None) -> list[Path]:
    own = [path] if (path := _in_home(account)) is not None else []
    return [*own, paths.temporary() / f"{_mine()}-data", Path("/var/tmp") / f"{_mine()}-data"]


def _in_home(account: str | None) -> Path | None:
    """The data root in the home; None where `account` cannot reach it."""
    home = paths.home() if account is None else paths.passable_home()
    return None if home is None else home / "data"


def _mine() -> str:
    return f"servicectx-{os.geteuid()}"


# -- facts about the machine ---------------------------------------------------------------------------------------


def _existing(path: Path) -> Path:
    return next((part for part in (path, *path.parents) if part.exists()), Path("/"))


def _file_system(path: Path) -> str:
    """The kind of file system that `path` is on, or "" where it cannot be read."""
    path = path.resolve()
    if not platform.PROC:
        return ""
    try:
        lines = os.fsdecode(Path("/proc/self/mountinfo").read_bytes()).split("\n")[:-1]
    except OSError:
        return ""
    found: dict[str, str] = {}
    for line in lines:
        fields = line.split(" ")
        found[_unescaped(fields[4])] = fields[fields.index("-") + 1]  # the last mount is on top
    return next((found[str(part)] for part in (path, *path.parents) if str(part) in found), "")


def _unescaped(text: str) -> str:
    """Unescape a path of proc(5), where blanks, tabs, line breaks, backslashes and `#` are octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _spare_memory() -> int:
    if not platform.PROC:
        return 1 << 62
    try:
        with open("/proc/meminfo") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 1 << 62


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"
