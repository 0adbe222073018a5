"""Which other account could change what lies at a path: the owner or the group of any directory on the way to it."""

import os
import stat
from pathlib import Path

LINKS = 40  # as the kernel: a path through more of them leads nowhere


def exposure(path: Path) -> str | None:
    """How another account could put its own files at `path`, in words; None where no other account can.

    Every directory from the root on must belong to this user, to root, or to the owner of the root directory, and
    be closed to other writers. A sticky directory is safe: nobody can rename or remove another account's entry in
    it. What does not exist yet is not looked at. Links are followed, each with its own owner.
    """
    trusted = {os.geteuid(), 0, os.stat("/").st_uid}
    here, todo, links = Path("/"), [*path.parts[1:]], 0
    if problem := _writers(here, os.lstat(here), trusted):
        return problem
    while todo:
        part = todo.pop(0)
        if part == "..":
            here = here.parent
            continue
        try:
            status = os.lstat(here / part)
        except OSError:
            return None
        if stat.S_ISLNK(status.st_mode):
            links += 1
            if links > LINKS:
                return None
            if status.st_uid not in trusted:
                return f"the link {here / part} belongs to user id {status.st_uid}"
            target = Path(os.readlink(here / part))
            todo = [*(target.parts[1:] if target.is_absolute() else target.parts), *todo]
            here = Path("/") if target.is_absolute() else here
            continue
        here /= part
        if problem := _writers(here, status, trusted):
            return problem
    return None


def _writers(path: Path, status: os.stat_result, trusted: set[int]) -> str | None:
    if status.st_uid not in trusted:
        return f"{path} belongs to user id {status.st_uid}"
    if not stat.S_ISDIR(status.st_mode) or status.st_mode & stat.S_ISVTX:
        return None
    if status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and not _is_own_group(status)):
        return f"others can write to {path} (mode {stat.S_IMODE(status.st_mode):04o})"
    return None


def _is_own_group(status: os.stat_result) -> bool:
    """Whether the group is the owner's private one, as distributions with the umask 002 make for each user."""
    if status.st_gid == 0:
        return True  # root's own group: its members are administrators
    import grp
    import pwd

    try:
        owner, group = pwd.getpwuid(status.st_uid), grp.getgrgid(status.st_gid)
    except KeyError:
        return False
    return owner.pw_gid == status.st_gid and owner.pw_name == group.gr_name and set(group.gr_mem) <= {owner.pw_name}
