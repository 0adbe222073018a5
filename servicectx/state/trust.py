"""The check whether another account could replace a file: as owner or group of any directory of its path."""

import os
import stat
from pathlib import Path

LINKS = 40  # the limit of the kernel for one path


def exposure(path: Path) -> str | None:
    """The reason why another account could put its own files at `path`; None where no other account can.

    Every directory from the root on must belong to this user, to root, or to the owner of the root directory. No
    other account may write to it. A sticky directory is safe: no account can rename or remove an entry of another
    account in it. Missing parts of the path are skipped. Links are followed, and the owner of each link is checked.
    """
    trusted = {os.geteuid(), 0, os.stat("/").st_uid}
    reached, parts, links = Path("/"), [*path.parts[1:]], 0
    if problem := _writers(reached, os.lstat(reached), trusted):
        return problem
    while parts:
        part = parts.pop(0)
        if part == "..":
            reached = reached.parent
            continue
        try:
            status = os.lstat(reached / part)
        except OSError:
            return None
        if stat.S_ISLNK(status.st_mode):
            links += 1
            if links > LINKS:
                return None
            if status.st_uid not in trusted:
                return f"the link {reached / part} belongs to user id {status.st_uid}"
            target = Path(os.readlink(reached / part))
            parts = [*(target.parts[1:] if target.is_absolute() else target.parts), *parts]
            reached = Path("/") if target.is_absolute() else reached
            continue
        reached /= part
        if problem := _writers(reached, status, trusted):
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
    """Whether the group is the owner's private group, which distributions with the umask 002 create for each user."""
    if status.st_gid == 0:
        return True  # root's own group: its members are administrators
    import grp
    import pwd

    try:
        owner, group = pwd.getpwuid(status.st_uid), grp.getgrgid(status.st_gid)
    except KeyError:
        return False
    return owner.pw_gid == status.st_gid and owner.pw_name == group.gr_name and set(group.gr_mem) <= {owner.pw_name}
