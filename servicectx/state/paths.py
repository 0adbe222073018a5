"""The private directories: instances (home) and prepared data (cache)."""

import contextlib
import os
import stat
import threading
import warnings
from pathlib import Path

from servicectx.errors import ConfigError, HomeError
from servicectx.state import marked, trust

PRIVATE, PASSABLE = marked.PRIVATE, marked.PASSABLE
IN_HOME = "servicectx-home"  # below the directory that SERVICECTX_HOME names
IN_CACHE = "servicectx-cache"
IN_STORAGE = "servicectx-data"
IN_DATA = "servicectx-persistent"  # below the directory that SERVICECTX_DATA names
ROOT_DATA = Path("/var/lib/servicectx")  # root's persistent data where other accounts cannot pass root's home
NOWHERE = Path(os.devnull) / IN_CACHE  # below a file, so that no entry can exist or be created there
CACHE_SIZE = 2 * 2**30  # bytes
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


def home() -> Path:
    """The marked directory of this user's instances, created if missing.

    `servicectx-home` in `SERVICECTX_HOME`; else `servicectx` in the user's runtime directory, or in a private
    directory in the temporary one. Raises HomeError when another account could write there.
    """
    setting = os.environ.get("SERVICECTX_HOME")
    if setting:
        return marked.make(private(Path(setting).absolute()) / IN_HOME, marked.HOME)
    environment = (os.geteuid(), *map(os.environ.get, ("XDG_RUNTIME_DIR", "HOME", "TMPDIR")))
    if environment not in _runtimes:
        _runtimes[environment] = _runtime()
    private(_runtimes[environment].parent)
    return marked.make(_runtimes[environment], marked.HOME)


def passable_home() -> Path | None:
    """The home with a mode that other accounts can pass; None if they cannot reach it."""
    path = home()
    if not passable(path.parent):
        return None
    return marked.make(path, marked.HOME, PASSABLE)


def cache(make: bool = False) -> Path:
    """The directory of prepared data. It may be missing or read-only: every user of it works without.

    `make`: create it if missing. A cache that another account could change is not used: then the result is a path
    at which no file can exist, and the reason is logged once.
    """
    try:
        path = trusted_cache()
    except HomeError as error:
        _warn_once(error)
        return NOWHERE
    if make:
        with contextlib.suppress(OSError, HomeError):  # such as a read-only file system
            make_parents(path)
            marked.make(path, marked.CACHE)
    return path


def trusted_cache() -> Path:
    """As `cache`. Raises HomeError for one that another account could change, and for a foreign directory."""
    if setting := os.environ.get("SERVICECTX_CACHE"):
        path = Path(setting).absolute()
        if not marked.is_marked(path, marked.CACHE):  # otherwise it names the marked directory itself
            path /= IN_CACHE
        return _trusted(path, marked.CACHE)
    import platformdirs

    try:
        path = Path(platformdirs.user_cache_dir("servicectx", appauthor=False)).absolute()
    except RuntimeError as error:
        problem = f"it is not used: HOME is not set, and user id {os.geteuid()} has no passwd entry"
        raise HomeError(path="~/.cache", problem=problem, cure="set HOME or SERVICECTX_CACHE") from error
    try:
        return _trusted(path, marked.CACHE)
    except HomeError:  # a foreign directory has that name: use the other name
        return _trusted(path.with_name(IN_CACHE), marked.CACHE)


def cache_size() -> int:
    """Bytes that the cache may hold: `SERVICECTX_CACHE_SIZE`, else 2 GiB. Raises ConfigError."""
    setting = os.environ.get("SERVICECTX_CACHE_SIZE", "").strip()
    if not setting:
        return CACHE_SIZE
    number, unit = (setting[:-1], setting[-1].upper()) if setting[-1].upper() in UNITS else (setting, "")
    try:
        size = float(number)
    except ValueError:
        size = -1.0
    if not 0 <= size < 1e15:
        problem = f"invalid size {setting!r}: use bytes, or a number with K, M or G, such as 500M; 0 disables the cache"
        raise ConfigError(path="SERVICECTX_CACHE_SIZE", problem=problem)
    return int(size * UNITS[unit])


def passable_cache() -> Path | None:
    """The directory of root's copies of programs for accounts that cannot reach the originals, or None."""
    setting = os.environ.get("SERVICECTX_CACHE")
    cached = Path(setting).absolute() if setting else Path("/var/cache")
    for parent, name in ((cached, "servicectx-programs"), (temporary(), f"servicectx-{os.geteuid()}-programs")):
        if not passable(parent) or not os.access(parent, os.W_OK):
            continue
        try:
            return marked.make(_trusted(parent / name, marked.PROGRAMS), marked.PROGRAMS, PASSABLE)
        except HomeError as error:
            _warn_once(error)
    return None


def persistent() -> Path:
    """The directory of persistent data, which may be missing: `servicectx-persistent` in `SERVICECTX_DATA`.

    Without that variable: `servicectx` in the user's data directory. For root it is `/var/lib/servicectx` where the
    accounts of servers cannot pass root's home. Raises HomeError for an account without a home.
    """
    setting = os.environ.get("SERVICECTX_DATA")
    if setting:
        return _unexposed(Path(setting).absolute() / IN_DATA)
    import platformdirs

    path = Path(platformdirs.user_data_dir("servicectx", appauthor=False))
    if not path.is_absolute():
        cure = "set SERVICECTX_DATA to a directory of your own that only you can write"
        raise HomeError(path=str(path), problem="this account has no home directory for persistent data", cure=cure)
    return _unexposed(ROOT_DATA if os.geteuid() == 0 and not passable(path.parent) else path)


def _unexposed(path: Path) -> Path:
    """The path. Raises HomeError where another account could replace the data below it."""
    if (problem := trust.exposure(path)) is not None:
        cure = "set SERVICECTX_DATA to a directory that, with all directories above it, belongs to you or to root"
        raise HomeError(path=str(path), problem=f"another account could replace the data: {problem}", cure=cure)
    return path


def temporary() -> Path:
    """The directory for temporary files, never the working directory, which is the last choice of `tempfile`."""
    import tempfile  # it imports a dozen modules, and few starts need it

    candidates = [os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")] + ["/tmp", "/var/tmp", "/usr/tmp"]
    try:
        found = tempfile.gettempdir()
        if found == os.getcwd() and found not in [os.path.abspath(path) for path in candidates if path]:
            return Path("/tmp")  # the first write there raises the precise error
    except FileNotFoundError:
        return Path("/tmp")
    return Path(found)


def reachable(path: Path) -> bool:
    """Whether every user of this machine can reach and read `path`."""
    path = path.resolve()
    readable = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
    return path.stat().st_mode & readable == readable and passable(path.parent)


def passable(path: Path) -> bool:
    """Whether every user of this machine can pass through `path`."""
    path = path.resolve()
    return all(part.stat().st_mode & stat.S_IXOTH for part in [path, *path.parents] if part.exists())


def private(path: Path, mode: int = PRIVATE) -> Path:
    """Check that `path` is a directory that only this user can write; create it if missing. Raises HomeError."""
    try:
        try:
            status = os.lstat(path)  # first, because it nearly always exists
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
    """Create the missing parents of `path` as private directories."""
    if not path.parent.exists():
        make_parents(path.parent)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path.parent, PRIVATE)


_runtimes: dict[tuple[object, ...], Path] = {}
_warned: set[str] = set()
_filters = threading.Lock()  # warning filters belong to the whole process
_CURE = "set SERVICECTX_HOME to a directory of your own that only you can write"


def _trusted(path: Path, kind: str) -> Path:
    """`path`, after a check that no other account can change its contents. Raises HomeError."""
    if (problem := trust.exposure(path)) is not None:
        problem = f"it is not used, because another account could replace its files: {problem}"
        cure = "chmod go-w, or set SERVICECTX_CACHE to a directory of your own, with all parents owned by you or root"
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
    """The first usable default home. Raises the HomeError of the last one."""
    preferred = _user_runtime()
    fallback = temporary() / f"runtime-{os.geteuid()}" / "servicectx"
    if preferred is not None and preferred != fallback:
        try:
            private(preferred.parent)
            return marked.make(preferred, marked.HOME)
        except HomeError:
            pass  # not creatable, foreign, or not empty: use the fallback
    private(fallback.parent)
    return marked.make(fallback, marked.HOME)


def _user_runtime() -> Path | None:
    """The user's runtime directory, or None where platformdirs raises; its releases differ in what they refuse."""
    import platformdirs

    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns without XDG_RUNTIME_DIR, which is normal in CI
        try:
            return Path(platformdirs.user_runtime_dir("servicectx", appauthor=False))
        except (OSError, RuntimeError):  # RuntimeError: without HOME and without a passwd entry
            return None
