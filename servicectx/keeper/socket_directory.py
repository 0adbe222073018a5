"""The directory of a server's Unix sockets: `{dir}`, or a short directory in /tmp where that path is not suitable.

The kernel limits the path of a socket to about 100 bytes. Servers and URLs also split paths at special characters.
"""

import os
import re
from pathlib import Path

from servicectx.state import owned_files
from servicectx.system import directories

LONGEST = 80  # bytes; the names of sockets follow
SUITABLE = re.compile(r"[\w/.+-]+", re.ASCII)
SHORT = "/tmp"


def choose(directory: Path, instance_directory: Path, owner: tuple[int, int] | None) -> str:
    """The directory for sockets. A short directory belongs to `owner`, and is removed with the instance."""
    path = str(directory)
    if len(os.fsencode(path)) <= LONGEST and SUITABLE.fullmatch(path):
        return path
    short = Path(os.path.realpath(SHORT), f"servicectx-{os.urandom(6).hex()}")
    uid = os.geteuid() if owner is None else owner[0]
    owned_files.leave(instance_directory, [f"{short}/*", f"{short}/.*"], uid)
    owned_files.leave_directory(instance_directory, short, uid)  # first the record, since a kill may follow
    short.mkdir(mode=0o700)
    if owner is not None:
        with directories.entered(short) as opened:
            os.fchown(opened, *owner)
    return str(short)
