"""Where the data of instances live: in memory, on disk, or where the caller says."""

import os
import stat
from pathlib import Path

from servicectx._sharing import paths
from servicectx.errors import HomeError
from servicectx.system import platform

MEMORY = platform.MEMORY
WORDS = ("memory", "disk")
HEAD_ROOM = 4  # times what an empty service needs


def data_root(need: int, account: str | None, wish: str | None = None, restored: int = 0) -> Path:
    """A directory for the data of one service that `account` (None: this user) can reach.

    Without a wish: below `SERVICECTX_HOME` if that is set, unless the account could not get there; else in memory if
    there is room for `restored` bytes and four times `need`; else on disk. "memory" and "disk" hold what they
    say. Any other wish is a directory. Raises HomeError where a wish cannot be fulfilled.
    """
    mode = paths.PASSABLE if account else paths.PRIVATE
    wanted = restored + HEAD_ROOM * need
    if wish is None:
        if "SERVICECTX_HOME" in os.environ and (account is None or paths.passable(paths.home())):
            return paths.private(paths.home() / "data", mode)
        if is_roomy(MEMORY, wanted):
            return paths.private(MEMORY / _mine(), mode)
        return paths.private(_on_disk(account)[0], mode)
    if wish == "memory":
        return paths.private(_memory(wanted, account), mode)
    if wish == "disk":
        return paths.private(_disk(restored + need, account), mode)
    return _given(Path(wish), restored + need, account)


def known_roots() -> set[Path]:
    """The directories that data may have been put into, wishes for other ones left out."""
    return {*_in_memory(None), *_in_memory("nobody"), *_on_disk(None), *_on_disk("nobody")}


def is_memory(path: Path) -> bool:
    """Whether files in `path` take memory (Linux; elsewhere never)."""
    return _file_system(path) in ("tmpfs", "ramfs")


def is_roomy(path: Path, need: int) -> bool:
    """Whether this user can put `need` bytes there."""
    return os.access(path, os.W_OK) and free(path) > need


def free(path: Path) -> int:
    """Bytes that fit there. In memory no more than the machine can spare, whatever the file system allows."""
    try:
        room = os.statvfs(path)
    except OSError:
        return 0
    left = room.f_bavail * room.f_frsize
    return min(left, _spare_memory()) if is_memory(path) else left


# -- wishes --------------------------------------------------------------------------------------------------------


def _memory(wanted: int, account: str | None) -> Path:
    places = [place for place in _in_memory(account) if is_memory(_existing(place))]
    for place in places:
        if is_roomy(_existing(place), wanted):
            return place
    cure = 'ask with storage="disk", or mount a tmpfs there (docker run --shm-size=1g)'
    if not places:
        problem = "data are to live in memory, and this is no file system in memory"
        raise HomeError(path=str(MEMORY), problem=problem, cure=cure)
    place = _existing(places[0])
    problem = f"data are to live in memory, where {_mib(free(place))} are free; with head room they want {_mib(wanted)}"
    raise HomeError(path=str(place), problem=problem, cure=cure)


def _disk(wanted: int, account: str | None) -> Path:
    places = [place for place in _on_disk(account) if not is_memory(_existing(place))]
    for place in places:
        if is_roomy(_existing(place), wanted):
            return place
    cure = 'set SERVICECTX_HOME or TMPDIR to a directory on a disk, or ask with storage="/a/directory"'
    if not places:
        looked = ", ".join(str(place) for place in _on_disk(account))
        raise HomeError(path=looked, problem="data are to live on disk, and this is in memory", cure=cure)
    place = _existing(places[0])
    problem = f"data are to live on disk, and of the {_mib(wanted)} that they want {_mib(free(place))} are free"
    raise HomeError(path=str(place), problem=problem, cure=cure)


def _given(place: Path, wanted: int, account: str | None) -> Path:
    """Somebody else's directory: looked at, and left as it is."""
    problem, cure = "", 'give "memory", "disk", or a directory that is there'
    if not place.is_dir():
        problem = "data are to live there, and it is no directory"
    elif not os.access(place, os.W_OK | os.X_OK):
        problem, cure = "data are to live there, and this user cannot write there", f"chmod u+wx {place}"
    elif (mode := place.stat().st_mode) & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
        problem = f"others can write to it (mode {stat.S_IMODE(mode):04o}), and so put their data in place of yours"
        cure = f"chmod go-w {place}"
    elif account is not None and not paths.passable(place):
        closed = next(each for each in [place, *place.parents][::-1] if not paths.passable(each))
        problem = f"the server runs as {account}, who cannot get through {closed}"
        cure = f"chmod o+x {closed}, or give a directory that everybody can pass"
    elif free(place) <= wanted:
        problem = f"{_mib(free(place))} are free there, and the data want {_mib(wanted)}"
        cure = "free some space, or give another directory"
    if problem:
        raise HomeError(path=str(place), problem=problem, cure=cure)
    return place


# -- places, best first --------------------------------------------------------------------------------------------


def _in_memory(account: str | None) -> list[Path]:
    own = [paths.home() / "data"] if account is None or paths.passable(paths.home()) else []
    shared = [MEMORY / _mine(), paths.temporary() / f"{_mine()}-data"]
    return own + shared if "SERVICECTX_HOME" in os.environ else shared + own


def _on_disk(account: str | None) -> list[Path]:
    own = [paths.home() / "data"] if account is None or paths.passable(paths.home()) else []
    return [*own, paths.temporary() / f"{_mine()}-data", Path("/var/tmp") / f"{_mine()}-data"]


def _mine() -> str:
    return f"servicectx-{os.geteuid()}"


# -- what the machine says -----------------------------------------------------------------------------------------


def _existing(path: Path) -> Path:
    return next((place for place in (path, *path.parents) if place.exists()), Path("/"))


def _file_system(path: Path) -> str:
    """The kind of file system that `path` is on, "" where nobody tells."""
    path = path.resolve()
    if not platform.PROC:
        return ""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return ""
    found: dict[str, str] = {}
    for line in lines:
        fields = line.split(" ")
        found[fields[4].replace("\\040", " ")] = fields[fields.index("-") + 1]  # the last one lies on top
    return next((found[str(place)] for place in (path, *path.parents) if str(place) in found), "")


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
