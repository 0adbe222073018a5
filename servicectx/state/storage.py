"""Where the data of instances live: in memory, on disk, or where the caller says."""

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
        own = _in_home(account)
        if "SERVICECTX_HOME" in os.environ and own is not None:
            return _first([own], mode)
        if is_roomy(MEMORY, wanted):
            return _first([MEMORY / _mine(), *_on_disk(account)], mode)
        return _first(_on_disk(account), mode)
    if wish == "memory":
        return _first(_memory(wanted, account), mode)
    if wish == "disk":
        return _first(_disk(restored + need, account), mode)
    place = _given(Path(wish), restored + need, account)
    return _first([place / _name_in(place)], mode)


def known_roots() -> set[Path]:
    """The directories that data may have been put into, wishes for other ones left out."""
    home, temporary = paths.home(), paths.temporary()
    return {home / "data", MEMORY / _mine(), temporary / f"{_mine()}-data", Path("/var/tmp") / f"{_mine()}-data"}


def is_given(root: Path) -> bool:
    """Whether `root` is the marked directory in one that the caller named as `storage`."""
    return root.name in (paths.IN_STORAGE, f"{_mine()}-data") and root not in known_roots()


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


def _first(places: list[Path], mode: int) -> Path:
    """The first that is, or can be made, a marked directory. Raises HomeError of the last one."""
    for place in places[:-1]:
        try:
            return marked.make(place, marked.DATA, mode)
        except HomeError:
            continue  # a foreign directory of that name, say
    return marked.make(places[-1], marked.DATA, mode)


def _name_in(place: Path) -> str:
    """The name of the marked directory in one of the caller's; several users may share a sticky one."""
    return paths.IN_STORAGE if place.stat().st_uid == os.geteuid() else f"{_mine()}-data"


def _memory(wanted: int, account: str | None) -> list[Path]:
    places = [place for place in _in_memory(account) if is_memory(_existing(place))]
    if roomy := [place for place in places if is_roomy(_existing(place), wanted)]:
        return roomy
    cure = 'ask with storage="disk", or mount a tmpfs there (docker run --shm-size=1g)'
    if not places:
        problem = "data are to live in memory, and this is no file system in memory"
        raise HomeError(path=str(MEMORY), problem=problem, cure=cure)
    place = _existing(places[0])
    problem = f"data are to live in memory, where {_mib(free(place))} are free; with head room they want {_mib(wanted)}"
    raise HomeError(path=str(place), problem=problem, cure=cure)


def _disk(wanted: int, account: str | None) -> list[Path]:
    places = [place for place in _on_disk(account) if not is_memory(_existing(place))]
    if roomy := [place for place in places if is_roomy(_existing(place), wanted)]:
        return roomy
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
    own = [place] if (place := _in_home(account)) is not None else []
    shared = [MEMORY / _mine(), paths.temporary() / f"{_mine()}-data"]
    return own + shared if "SERVICECTX_HOME" in os.environ else shared + own


def _on_disk(account: str | None) -> list[Path]:
    own = [place] if (place := _in_home(account)) is not None else []
    return [*own, paths.temporary() / f"{_mine()}-data", Path("/var/tmp") / f"{_mine()}-data"]


def _in_home(account: str | None) -> Path | None:
    """The place for data in the home; None where `account` cannot get to it."""
    home = paths.home() if account is None else paths.passable_home()
    return None if home is None else home / "data"


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
        lines = os.fsdecode(Path("/proc/self/mountinfo").read_bytes()).split("\n")[:-1]
    except OSError:
        return ""
    found: dict[str, str] = {}
    for line in lines:
        fields = line.split(" ")
        found[_unescaped(fields[4])] = fields[fields.index("-") + 1]  # the last one lies on top
    return next((found[str(place)] for place in (path, *path.parents) if str(place) in found), "")


def _unescaped(text: str) -> str:
    """A path of proc(5): blanks, tabs, line breaks, backslashes and `#` stand there as octal numbers."""
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
