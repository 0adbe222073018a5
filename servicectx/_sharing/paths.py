"""Where things live, privately: instances (home), their data, and what is worth keeping (cache)."""

import os
import stat
import tempfile
import threading
import warnings
from pathlib import Path

from servicectx.errors import HomeError

MEMORY = Path("/dev/shm")
PRIVATE = 0o700
PASSABLE = 0o711  # for root's data: a server's own account must get through to its directory, and see nothing else


def home() -> Path:
    """The directory of this user's instances, made private.

    `SERVICECTX_HOME`, else the user's runtime directory, else a directory in the temporary one.
    Raises HomeError when somebody else could write there.
    """
    said = os.environ.get("SERVICECTX_HOME")
    if said:
        return private(Path(said).absolute())
    asked = (os.geteuid(), *map(os.environ.get, ("XDG_RUNTIME_DIR", "HOME", "TMPDIR")))
    if asked not in _runtimes:
        _runtimes[asked] = _runtime()
    private(_runtimes[asked].parent)
    return private(_runtimes[asked])


def data_root(need: int, account: str | None) -> Path:
    """A directory for data of about `need` bytes that `account` (None: this user) can reach.

    In memory when there is room for four times that, else on disk. With `SERVICECTX_HOME` set, data lives there,
    unless the account could not get there.
    """
    mode = PASSABLE if account else PRIVATE
    if "SERVICECTX_HOME" in os.environ:
        place = home() / "data"
        if account is None or _reachable(place.parent):
            return private(place, mode)
    mine = f"servicectx-{os.geteuid()}"
    if _roomy(MEMORY, 4 * need):
        return private(MEMORY / mine, mode)
    if account is None:
        return private(home() / "data", mode)
    return private(Path(tempfile.gettempdir()) / f"{mine}-data", mode)


def cache() -> Path:
    """Where prepared data is kept between runs. It may be missing or read-only: whoever uses it can do without."""
    if said := os.environ.get("SERVICECTX_CACHE"):
        return Path(said).absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("servicectx", appauthor=False))


def passable_cache() -> Path:
    """Where root keeps copies of programs for accounts that cannot reach the originals."""
    said = os.environ.get("SERVICECTX_CACHE")
    for place in [Path(said).absolute()] if said else [Path("/var/cache")]:
        if _reachable(place) and os.access(place, os.W_OK):
            return private(place / "servicectx-programs", PASSABLE)
    return private(Path(tempfile.gettempdir()) / f"servicectx-{os.geteuid()}-programs", PASSABLE)


def reachable(path: Path) -> bool:
    """Whether every user of this machine can get to `path` and read it."""
    path = path.resolve()
    readable = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
    return path.stat().st_mode & readable == readable and _reachable(path.parent)


def private(path: Path, mode: int = PRIVATE) -> Path:
    """`path` as a directory of this user's that nobody else can write, made if need be."""
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        status = path.lstat()
    except FileExistsError:
        status = path.lstat()
    except OSError as error:
        raise HomeError(path=str(path), problem=f"it cannot be made: {error.strerror}", cure=_CURE) from None
    if not stat.S_ISDIR(status.st_mode):
        kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "not a directory"
        raise HomeError(path=str(path), problem=f"it is {kind}, and secrets would go through it", cure=_CURE)
    if status.st_uid != os.geteuid():
        raise HomeError(path=str(path), problem=f"it belongs to user id {status.st_uid}, not to you", cure=_CURE)
    if status.st_mode & 0o022:
        problem = f"others can write to it (mode {stat.S_IMODE(status.st_mode):04o})"
        raise HomeError(path=str(path), problem=problem, cure=f"chmod go-w {path}, or: {_CURE}")
    if mode == PASSABLE and not status.st_mode & stat.S_IXOTH:
        path.chmod(PASSABLE)
    return path


_runtimes: dict[tuple[object, ...], Path] = {}
_filters = threading.Lock()  # warning filters belong to the whole process
_CURE = "set SERVICECTX_HOME to a directory of your own that only you can write"


def _runtime() -> Path:
    import platformdirs

    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where there is no XDG_RUNTIME_DIR, which is normal in CI
        try:
            path = Path(platformdirs.user_runtime_dir("servicectx", appauthor=False))
        except PermissionError as error:
            raise HomeError(path=tempfile.gettempdir(), problem=str(error), cure=_CURE) from None
    return path


def _reachable(path: Path) -> bool:
    path = path.resolve()
    return all(place.stat().st_mode & stat.S_IXOTH for place in [path, *path.parents] if place.exists())


def _roomy(path: Path, need: int) -> bool:
    try:
        room = os.statvfs(path)
    except OSError:
        return False
    return os.access(path, os.W_OK) and room.f_bavail * room.f_frsize > need
