"""Hazards of the file system of a home: it is full, or read-only, for moments.

A storm must not change mounts of the machine. So the home is on a small tmpfs in a private mount namespace, in which a
child process runs a round of its own: `tests.storms.mounted`.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import ClassVar

from tests import leftovers
from tests.actor import ROOT
from tests.detector import BUSY
from tests.storms.hazard import Hazard

USERS = 2


class FileSystem(Hazard):
    """The base of both hazards: run the child process, and add its tally to the one of this storm."""

    needs_namespaces: ClassVar[bool] = True
    change: ClassVar[str]

    def run(self) -> None:
        place = Path(tempfile.mkdtemp(prefix="sctest-mounted-"))
        place.chmod(0o711)
        seconds = self.round.until - time.monotonic()
        seed = self.random.randrange(10**9)
        arguments = [str(place), self.change, str(seed), str(seconds), str(USERS)]
        done = subprocess.run(
            [
                *("unshare", "--mount", "--propagation", "private"),
                *(sys.executable, "-m", "tests.storms.mounted", *arguments),
            ],
            cwd=ROOT,
            env=os.environ | {"SERVICECTX_CACHE": "/nonexistent"},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            self.round.tally.add(json.loads(done.stdout.splitlines()[-1]))
        else:
            self.round.fault(f"the round in a mount namespace ended with {done.returncode}: {done.stdout}")
        self.check_place(place)

    def check_place(self, place: Path) -> None:
        until = time.monotonic() + BUSY
        while (found := leftovers.command_lines(place)) and time.monotonic() < until:
            time.sleep(0.05)
        if found:
            self.round.fault(f"processes of a home in a mount namespace are left: {found}")
            leftovers.end(place)
        shutil.rmtree(place)


class Full(FileSystem):
    """Fill the file system, and free it again."""

    name: ClassVar[str] = "full-homes"
    change: ClassVar[str] = "full"


class ReadOnly(FileSystem):
    """Cover the file system with a read-only mount of itself, and remove that mount again."""

    name: ClassVar[str] = "read-only-homes"
    change: ClassVar[str] = "read-only"
