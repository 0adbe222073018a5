"""Where things live, privately: instances (home), and what is worth keeping (cache)."""

import os
import stat
import threading
import warnings
from pathlib import Path

from servicectx.errors import ConfigError, HomeError

CACHE_SIZE = 2 * 2**30
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
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


def cache() -> Path:
    """Where prepared data is kept between runs. It may be missing or read-only: whoever uses it can do without."""
    if said := os.environ.get("SERVICECTX_CACHE"):
        return Path(said).absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("servicectx", appauthor=False))


def cache_size() -> int:
    """Bytes that the cache may hold: `SERVICECTX_CACHE_SIZE`, else 2 GiB. Raises ConfigError."""
    said = os.environ.get("SERVICECTX_CACHE_SIZE", "").strip()
    if not said:
        return CACHE_SIZE
    number, unit = (said[:-1], said[-1].upper()) if said[-1].upper() in UNITS else (said, "")
    try:
        size = float(number)
    except ValueError:
        size = -1.0
    if not 0 <= size < 1e15:
        problem = f"{said!r} is no size; write bytes, or a number with K, M or G, such as 500M; 0 keeps nothing"
        raise ConfigError(path="SERVICECTX_CACHE_SIZE", problem=problem)
    return int(size * UNITS[unit])


def passable_cache() -> Path | None:
    """Where root keeps copies of programs for accounts that cannot reach the originals. None: no place will do."""
    said = os.environ.get("SERVICECTX_CACHE")
    place = Path(said).absolute() if said else Path("/var/cache")
    if passable(place) and os.access(place, os.W_OK):
        return private(place / "servicectx-programs", PASSABLE)
    place = temporary()
    return private(place / f"servicectx-{os.geteuid()}-programs", PASSABLE) if passable(place) else None


def temporary() -> Path:
    """The directory for temporary files."""
    import tempfile  # it brings a dozen modules, and few starts come here

    return Path(tempfile.gettempdir())


def reachable(path: Path) -> bool:
    """Whether every user of this machine can get to `path` and read it."""
    path = path.resolve()
    readable = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
    return path.stat().st_mode & readable == readable and passable(path.parent)


def passable(path: Path) -> bool:
    """Whether every user of this machine can get through `path`."""
    path = path.resolve()
    return all(place.stat().st_mode & stat.S_IXOTH for place in [path, *path.parents] if place.exists())


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
            raise HomeError(path=str(temporary()), problem=str(error), cure=_CURE) from None
    return path
