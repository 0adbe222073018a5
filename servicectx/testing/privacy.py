"""What a running instance shows to other users: processes, sockets and files."""

import contextlib
import ipaddress
import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from servicectx.services.details import ServiceDetails
from servicectx.state import marked, owned_files, paths

LOG = "service.log"
SMALL = 1 << 20  # bytes up to which a file is searched for secrets


def demand(kept: object, promise: str) -> None:
    if not kept:
        raise AssertionError(f"broken: {promise}")


def secrets(details: Any) -> list[str]:
    """Values of the secret fields."""
    names = details.secrets | ServiceDetails.secrets
    return [value for name in names if (value := getattr(details, name, None))]


def processes(home: Path) -> list[Any]:
    """Processes that work in `home` or name it on their command line, or in their environment outside this session.

    The children of these processes are included.
    """
    import psutil

    found: dict[int, Any] = {}
    for process in psutil.process_iter():
        if process.pid != os.getpid() and any(str(home) in text for text in _texts(process)):
            with contextlib.suppress(psutil.Error):
                found |= {member.pid: member for member in [process, *process.children(recursive=True)]}
    return list(found.values())


def _texts(process: Any) -> Iterator[str]:
    import psutil

    with contextlib.suppress(psutil.Error):
        yield process.cwd()
    with contextlib.suppress(psutil.Error):
        yield from process.cmdline()
    with contextlib.suppress(psutil.Error, OSError):
        if os.getsid(process.pid) != os.getsid(0):  # programs of a client run in this session
            yield from process.environ().values()


def accounts(running: list[Any]) -> set[int]:
    """Ids of the users that these processes run as."""
    import psutil

    found = set()
    for process in running:
        with contextlib.suppress(psutil.Error):
            found.add(process.uids().effective)
    return found


def leftovers(home: Path) -> list[Path]:
    """Files outside `home` that the plans of its instances declare, because their programs always make them."""
    return [
        path
        for listing in home.glob(f"{paths.IN_HOME}/*/{owned_files.PATTERNS}")
        for path in owned_files.left(listing.parent)
    ]


def left(home: Path) -> list[str]:
    """Files that instances left in a home: all except the home's own directories and their markers."""
    own = home / paths.IN_HOME
    empty = (own, own / marked.MARKER, own / "data", own / "data" / marked.MARKER)
    return [str(path) for path in home.rglob("*") if path not in empty]


def check(details: Any, home: Path) -> None:
    """Check that secrets, sockets and files of the instance in `home` stay private. Raises AssertionError."""
    import psutil

    demand(details.host in ("127.0.0.1", "::1", "localhost"), f"the host is loopback, not {details.host}")
    hidden = secrets(details)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            arguments = process.cmdline()
            leak = any(secret in argument for secret in hidden for argument in arguments)
            demand(not leak, f"no secret in {arguments[:3]} ...")
    allowed = (home, paths.cache(), *leftovers(home))  # a keeper fills the cache
    for process in processes(home):
        with contextlib.suppress(psutil.Error):
            _check_sockets(process, home)
            _check_open_files(process, allowed)
    for path in home.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            _check_file(path, hidden)


def _check_sockets(process: Any, home: Path) -> None:
    for connection in process.net_connections("inet"):
        if connection.laddr and not connection.raddr:
            demand(_is_loopback(connection.laddr.ip), f"it listens on loopback only, not on {connection.laddr}")
        if connection.raddr:
            demand(_is_loopback(connection.raddr.ip), f"it has no connection to the outside, not {connection.raddr}")
    for connection in process.net_connections("unix"):
        path = str(connection.laddr or "")
        demand(not path.startswith("/") or _is_inside(path, home), f"no socket lies outside its directory: {path}")


def _check_open_files(process: Any, allowed: Collection[Path]) -> None:
    for opened in process.open_files():
        writing = getattr(opened, "mode", "r") != "r"
        demand(
            not writing or any(_is_inside(opened.path, folder) for folder in allowed),
            f"it writes outside its directory: {opened.path}",
        )


def _check_file(path: Path, hidden: list[str]) -> None:
    status = path.lstat()
    log = path.name == LOG  # errors and reports show it
    if stat.S_ISREG(status.st_mode) and (log or status.st_mode & 0o077) and status.st_size < SMALL:
        content = path.read_bytes()
        label = "its log" if log else f"{path}, which others can read,"
        demand(not any(secret.encode() in content for secret in hidden), f"{label} holds no secret")


def _is_loopback(address: str) -> bool:
    ip = ipaddress.ip_address(address)
    return ip.is_loopback or bool(getattr(ip, "ipv4_mapped", None) and ip.ipv4_mapped.is_loopback)  # type: ignore[union-attr]


def _is_inside(path: str, home: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(home))
