"""The shared memory that a killed Postgres leaves: one System V segment, and its dynamic shared memory.

The server makes the segment first and notes it in postmaster.pid afterwards, and a server below `initdb` has a file
that `initdb` removes. So the segment is found by its key, as the server itself finds it: the inode of the data
directory, or one of the next numbers. Its header has the device and the inode of that directory, so it is recognized
from another PID namespace, too, where process ids have no meaning: src/backend/port/sysv_shmem.c.
"""

import contextlib
import os
import re
import struct
import sys
from pathlib import Path
from typing import NamedTuple

from servicectx.services.postgres import pid_file
from servicectx.system import directories, processes, segments
from servicectx.system.originals import open, time
from servicectx.system.segments import Segment

NUMBER = re.compile(r"[0-9]{1,10}")
KEYS = 64  # keys after the inode, which the server tries where segments of others have them
DYING = 2.0  # seconds for killed processes to let go of a segment
MAGIC = struct.Struct("=i")
SEGMENT_MAGIC, CONTROL_MAGIC = 679834894, 0x9A503D32
DIRECTORY = struct.Struct("@QQ" if sys.platform == "linux" else "@iQ")  # device and inode
CONTROL_HANDLE = 24  # bytes before it in the header
POSIX = Path("/dev/shm")
CONTROL, ITEM = struct.Struct("=III"), struct.Struct("=I")  # magic, items, most items; handle
CONTROL_SIZE = 2**20  # bytes


class Server(NamedTuple):
    """What is known about the killed server. `pid` and `segment`, its id: from postmaster.pid, 0 and -1 without one."""

    owner: int
    device: int
    inode: int
    pid: int
    segment: int


def free_after_kill(*, data: str) -> None:
    """Remove the parts of a killed server that block the next one: its shared memory and postmaster.pid.

    The server's account can write the file and the segments. So only segments that it made are removed, and only
    segments of this directory which no process uses. The file is removed, too: a server refuses to start while a zombie
    has the id in it, and an init process may reap the zombie late.
    """
    try:
        with directories.reached(data) as folder:
            server = _server(folder)
            deadline = time.monotonic() + DYING  # one for all: the account may have made many, and use them
            for segment in _segments(server):
                _remove(segment, server.owner, deadline)
            if server.pid and processes.identity(server.pid) is None:
                os.unlink(pid_file.NAME, dir_fd=folder)
    except OSError:
        return


def _server(folder: int) -> Server:
    """Lines 1 and 7 of postmaster.pid have the process id, negative below `initdb`, and key and id of the segment."""
    status, lines = os.fstat(folder), pid_file.read(folder)
    pid = lines[0].strip().removeprefix("-") if lines else ""
    fields = lines[6].split() if len(lines) > 6 else []
    return Server(
        status.st_uid,
        status.st_dev,
        status.st_ino,
        int(pid) if NUMBER.fullmatch(pid) else 0,
        int(fields[1]) if len(fields) == 2 and NUMBER.fullmatch(fields[1]) else -1,
    )


def _segments(server: Server) -> list[Segment]:
    """The segments of this directory that the server's account made."""
    keys = [_signed(server.inode + number) for number in range(KEYS)]
    ids = {server.segment, *(id for key in keys if key and (id := segments.at_key(key)) is not None)}
    found = [segments.look(id) for id in sorted(ids) if id >= 0]
    return [segment for segment in found if segment is not None and _is_of(segment, server)]


def _signed(number: int) -> int:
    """The number in 32 bits with a sign, as the server's key is."""
    return (number + 2**31) % 2**32 - 2**31


def _is_of(segment: Segment, server: Server) -> bool:
    """Whether the segment is of this server. One without a header was made a moment before its maker was killed."""
    if segment.owner != server.owner:
        return False
    header = segments.read(segment)
    if not header.strip(b"\0"):
        return segment.creator == server.pid and _is_dead(segment)
    return header.startswith(MAGIC.pack(SEGMENT_MAGIC)) and DIRECTORY.pack(server.device, server.inode) in header


def _is_dead(segment: Segment) -> bool:
    """Whether its maker was a process of this PID namespace, and is gone."""
    return segment.creator > 0 and processes.identity(segment.creator) is None


def _remove(segment: Segment, owner: int, deadline: float) -> None:
    """Remove a segment that no process uses, after the dynamic shared memory that its header leads to."""
    if not _is_unused(segment, deadline):
        return
    control = segments.read(segment)[CONTROL_HANDLE:]
    if len(control) >= ITEM.size and (handle := ITEM.unpack_from(control)[0]):
        _remove_files(handle, owner)
        _remove_dynamic(handle, owner)
    segments.remove(segment)


def _is_unused(segment: Segment, deadline: float = 0.0) -> bool:
    """Whether the maker is dead, or no process is attached now or before the deadline, as of `time.monotonic()`."""
    while not _is_dead(segment) and (now := segments.look(segment.id)) is not None and now.attached:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _remove_files(control: int, owner: int) -> None:
    """Remove the segments of POSIX that the one with the number `control` lists, then that one: on Linux, files."""
    with contextlib.suppress(OSError), directories.entered(POSIX) as folder:
        with open(directories.open_file(_posix_name(control), folder, [owner]), "rb") as file:
            content = file.read(CONTROL_SIZE)
        for handle in [*_handles(content), control]:
            with contextlib.suppress(OSError):
                os.close(directories.open_file(_posix_name(handle), folder, [owner]))
                os.unlink(_posix_name(handle), dir_fd=folder)


def _posix_name(handle: int) -> str:
    return f"PostgreSQL.{handle}"


def _remove_dynamic(control: int, owner: int) -> None:
    """As `_remove_files` for segments of System V, whose keys are the numbers, without a sign."""

    def found(handle: int) -> Segment | None:
        id = segments.at_key(abs(_signed(handle))) if handle else None
        segment = segments.look(id) if id is not None else None
        return segment if segment is not None and segment.owner == owner and _is_unused(segment) else None

    if (listing := found(control)) is not None and segments.read(listing).startswith(ITEM.pack(CONTROL_MAGIC)):
        for handle in _handles(segments.read(listing, CONTROL_SIZE)):
            if (segment := found(handle)) is not None:
                segments.remove(segment)
        segments.remove(listing)


def _handles(content: bytes) -> list[int]:
    """The numbers in a control segment: src/backend/storage/ipc/dsm.c. The size of an item depends on the version."""
    with contextlib.suppress(struct.error, ZeroDivisionError):
        magic, items, most = CONTROL.unpack_from(content)
        start = CONTROL.size + 4
        size = (len(content) - start) // most
        if magic == CONTROL_MAGIC and size >= ITEM.size:
            return [ITEM.unpack_from(content, start + size * item)[0] for item in range(min(items, most))]
    return []
