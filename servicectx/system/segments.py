"""System V shared memory segments that programs left behind, on 64-bit Linux and macOS."""

import ctypes
import functools
import sys
from typing import Any, NamedTuple

IPC_RMID, IPC_STAT = 0, 2
SHM_RDONLY = 0o10000
_FAILED = ctypes.c_void_p(-1).value


class Segment(NamedTuple):
    """`creator`: process id in this PID namespace, 0 for a process outside of it. `attached`: number of processes."""

    id: int
    owner: int
    creator: int
    attached: int
    size: int


class _LinuxPermissions(ctypes.Structure):
    _fields_ = [
        ("key", ctypes.c_int),
        *((name, ctypes.c_uint) for name in ("uid", "gid", "cuid", "cgid", "mode")),
        ("sequence", ctypes.c_ulong),  # including padding
        ("reserved", ctypes.c_ulong * 2),
    ]


class _LinuxSegment(ctypes.Structure):
    _fields_ = [
        ("permissions", _LinuxPermissions),
        ("size", ctypes.c_size_t),
        ("times", ctypes.c_long * 3),
        ("creator", ctypes.c_int),
        ("last", ctypes.c_int),
        ("attached", ctypes.c_ulong),
        ("reserved", ctypes.c_ulong * 2),
    ]


class _MacPermissions(ctypes.Structure):
    _pack_ = 4
    _fields_ = [
        *((name, ctypes.c_uint) for name in ("uid", "gid", "cuid", "cgid")),
        ("mode", ctypes.c_ushort),
        ("sequence", ctypes.c_ushort),
        ("key", ctypes.c_int),
    ]


class _MacSegment(ctypes.Structure):
    _pack_ = 4
    _fields_ = [
        ("permissions", _MacPermissions),
        ("size", ctypes.c_size_t),
        ("last", ctypes.c_int),
        ("creator", ctypes.c_int),
        ("attached", ctypes.c_ushort),
        ("times", ctypes.c_long * 3),
        ("internal", ctypes.c_void_p),
    ]


def at_key(key: int) -> int | None:
    """The id of the segment with that key, which is a signed 32-bit number; None without one."""
    found = int(_libc().shmget(key, 0, 0))
    return found if found >= 0 else None


def look(id: int) -> Segment | None:
    """The segment, or None where it is gone or its facts are not readable."""
    found = _LinuxSegment() if sys.platform == "linux" else _MacSegment()
    if _libc().shmctl(id, IPC_STAT, ctypes.byref(found)) != 0:
        return None
    return Segment(id, found.permissions.cuid, found.creator, found.attached, found.size)


def read(segment: Segment, most: int = 128) -> bytes:
    """The first bytes of the segment; none where it is gone or not readable."""
    address = _libc().shmat(segment.id, None, SHM_RDONLY)
    if address == _FAILED:
        return b""
    try:
        return ctypes.string_at(address, min(segment.size, most))
    finally:
        _libc().shmdt(address)


def remove(segment: Segment) -> bool:
    """Remove the segment, unless its id has another one by now; return whether it was removed."""
    found = look(segment.id)
    if found is None or found[:3] != segment[:3]:
        return False
    return bool(_libc().shmctl(segment.id, IPC_RMID, None) == 0)


@functools.cache
def _libc() -> Any:
    library = ctypes.CDLL(None)
    library.shmctl.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p]
    library.shmget.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.c_int]
    library.shmat.argtypes, library.shmat.restype = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int], ctypes.c_void_p
    library.shmdt.argtypes = [ctypes.c_void_p]
    return library
