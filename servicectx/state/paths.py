"""Where things live, privately: instances (home), and what is worth keeping (cache)."""

import contextlib
import os
import stat
import threading
import warnings
from pathlib import Path

from servicectx.errors import ConfigError, HomeError
from servicectx.state import marked, trust

PRIVATE, PASSABLE = marked.PRIVATE, marked.PASSABLE
IN_HOME = "servicectx-home"  # in the directory that SERVICECTX_HOME names
IN_CACHE = "servicectx-cache"
IN_STORAGE = "servicectx-data"
NOWHERE = Path(os.devnull) / IN_CACHE  # below a file: nothing exists there, and nothing can be made
CACHE_SIZE = 2 * 2**30
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


def home() -> Path:
    """The marked directory of this user's instances, made if need be.

    `servicectx-home` in `SERVICECTX_HOME`; else `servicectx` in the user's runtime directory, or in a private
    directory in the temporary one. Raises HomeError when another account could write there.
    """
    said = os.environ.get("SERVICECTX_HOME")
    if said:
        return marked.make(private(Path(said).absolute()) / IN_HOME, marked.HOME)
    asked = (os.geteuid(), *map(os.environ.get, ("XDG_RUNTIME_DIR", "HOME", "TMPDIR")))
    if asked not in _runtimes:
        _runtimes[asked] = _runtime()
    private(_runtimes[asked].parent)
    return marked.make(_runtimes[asked], marked.HOME)


def passable_home() -> Path | None:
    """The same, for data that another account must get to; None where that account cannot."""
    path = home()
    if not passable(path.parent):
        return None
    return marked.make(path, marked.HOME, PASSABLE)


def cache(make: bool = False) -> Path:
    """Where prepared data is kept between runs. It may be missing or read-only: every user of it can do without.

    `make`: make it if it is missing. A cache that another account could change is not used: then a path is given
    at which nothing can exist, and the reason is logged once.
    """
    try:
        path = trusted_cache()
    except HomeError as error:
        _warn_once(error)
        return NOWHERE
    if make:
        with contextlib.suppress(OSError, HomeError):  # a read-only place, say
            make_parents(path)
            marked.make(path, marked.CACHE)
    return path


def trusted_cache() -> Path:
    """As `cache`. Raises HomeError for one that another account could change, and for a foreign directory."""
    if said := os.environ.get("SERVICECTX_CACHE"):
        path = Path(said).absolute()
        if not marked.is_marked(path, marked.CACHE):  # else it names the marked directory itself
            path /= IN_CACHE
        return _trusted(path, marked.CACHE)
    import platformdirs

    path = Path(platformdirs.user_cache_dir("servicectx", appauthor=False)).absolute()
    try:
        return _trusted(path, marked.CACHE)
    except HomeError:  # a foreign directory has that name: the next place
        return _trusted(path.with_name(IN_CACHE), marked.CACHE)


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
    cached = Path(said).absolute() if said else Path("/var/cache")
    for place, name in ((cached, "servicectx-programs"), (temporary(), f"servicectx-{os.geteuid()}-programs")):
        if not passable(place) or not os.access(place, os.W_OK):
            continue
        try:
            return marked.make(_trusted(place / name, marked.PROGRAMS), marked.PROGRAMS, PASSABLE)
        except HomeError as error:
            _warn_once(error)
    return None


def temporary() -> Path:
    """The directory for temporary files. `tempfile` falls back to the working directory, which is the user's."""
    import tempfile  # it brings a dozen modules, and few starts come here

    named = [os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")] + ["/tmp", "/var/tmp", "/usr/tmp"]
    try:
        found = tempfile.gettempdir()
        if found == os.getcwd() and found not in [os.path.abspath(place) for place in named if place]:
            return Path("/tmp")  # an attempt to write there gives the reason
    except FileNotFoundError:
        return Path("/tmp")
    return Path(found)


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
    """`path` as a directory of this user's that no other account can write, made if need be; else left as it is."""
    try:
        try:
            status = os.lstat(path)  # first, because it is there nearly always
        except FileNotFoundError:
            make_parents(path)
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, mode)
            status = os.lstat(path)
    except OSError as error:
        raise HomeError(path=str(path), problem=f"it cannot be made: {error.strerror}", cure=_CURE) from None
    marked.check_owner(path, status, _CURE)
    return path


def make_parents(path: Path) -> None:
    """Make the directories that `path` is to be in, as private ones."""
    if not path.parent.exists():
        make_parents(path.parent)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path.parent, PRIVATE)


_runtimes: dict[tuple[object, ...], Path] = {}
_warned: set[str] = set()
_filters = threading.Lock()  # warning filters belong to the whole process
_CURE = "set SERVICECTX_HOME to a directory of your own that only you can write"


def _trusted(path: Path, kind: str) -> Path:
    """`path`, once it is known that no other account can change what is in it. Raises HomeError."""
    if (problem := trust.exposure(path)) is not None:
        problem = f"it is not used: {problem}, and could put other files there"
        cure = "chmod go-w, or set SERVICECTX_CACHE to a directory of your own, below yours or root's alone"
        raise HomeError(path=str(path), problem=problem, cure=cure)
    if (found := marked.existing(path, kind)) is not None:
        with found:
            return path
    return path


def _warn_once(error: HomeError) -> None:
    if str(error) not in _warned:
        _warned.add(str(error))
        import logging

        logging.getLogger("servicectx").warning("%s", error)


def _runtime() -> Path:
    """The first place for a default home that can be used. Raises HomeError of the last one."""
    given = _user_runtime()
    private_place = temporary() / f"runtime-{os.geteuid()}" / "servicectx"
    if given is not None and given != private_place:
        try:
            private(given.parent)
            return marked.make(given, marked.HOME)
        except HomeError:
            pass  # not made, foreign, or not empty: the next place
    private(private_place.parent)
    return marked.make(private_place, marked.HOME)


def _user_runtime() -> Path | None:
    """None: there is none that only this user can change. Releases of platformdirs differ in what they refuse."""
    import platformdirs

    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where there is no XDG_RUNTIME_DIR, which is normal in CI
        try:
            return Path(platformdirs.user_runtime_dir("servicectx", appauthor=False))
        except OSError:
            return None
