"""System V shared memory segments that programs left behind, on 64-bit Linux and macOS."""

import ctypes
import sys

IPC_RMID, IPC_STAT = 0, 2


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


def remove(id: int, owner: int, creator: int) -> bool:
    """Remove the segment `id` of user `owner` and process `creator`; return whether it was removed."""
    segment = _LinuxSegment() if sys.platform == "linux" else _MacSegment()
    control = ctypes.CDLL(None).shmctl
    control.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p]
    if control(id, IPC_STAT, ctypes.byref(segment)) != 0:
        return False
    permissions = segment.permissions
    if owner not in (permissions.uid, permissions.cuid) or segment.creator != creator:
        return False
    return bool(control(id, IPC_RMID, None) == 0)
