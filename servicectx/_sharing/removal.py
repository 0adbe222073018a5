"""Directory trees go, and files in their place: whatever is in them, and fast where that is a lot."""

import contextlib
import os
from pathlib import Path

from servicectx._originals import time

MANY = 32  # folders in one row: fewer are gone before other processes had begun
DEPTH = 3


def remove_tree(path: Path) -> None:
    """Remove `path` whatever it is and whatever is in it, also while somebody still adds to it."""
    if not path.is_dir() or path.is_symlink():
        with contextlib.suppress(OSError):
            path.unlink()
        return
    import shutil  # not before there is something to remove

    _thin_out(path)
    for _ in range(100):
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
        time.sleep(0.01)


def remove_entry(parent: int, name: str) -> None:
    """Remove the entry `name` of the open directory `parent`, whatever it is, never through a link."""
    import shutil

    for _ in range(100):
        try:
            os.unlink(name, dir_fd=parent)
            return
        except FileNotFoundError:
            return
        except OSError:
            shutil.rmtree(name, ignore_errors=True, dir_fd=parent)
        try:
            os.lstat(name, dir_fd=parent)
        except FileNotFoundError:
            return
        time.sleep(0.01)


def _thin_out(path: Path) -> None:
    """Where hundreds of databases have a folder each: remove most of it side by side, in a third of the time."""
    try:
        row = [str(path)]
        for _ in range(DEPTH):
            row = [entry.path for each in row for entry in os.scandir(each) if entry.is_dir(follow_symlinks=False)]
            if len(row) >= MANY:
                _remove_side_by_side(row)
                break
    except OSError:
        pass  # what is still there has no rm, or none of ours


def _remove_side_by_side(folders: list[str]) -> None:
    import subprocess

    hands = os.cpu_count() or 1
    removers = [subprocess.Popen(["rm", "-rf", "--", *folders[hand::hands]]) for hand in range(hands)]
    for remover in removers:
        remover.wait()
