"""Named checkpoints, at which a test can pause a process in order to kill it there.

They do nothing unless `SERVICECTX_TEST_PAUSE` is `STEP:FILE`: then the process writes its id to FILE and sleeps until
a test empties the file.
"""

import os

from servicectx.system.originals import open, time


def step(name: str) -> None:
    setting = os.environ.get("SERVICECTX_TEST_PAUSE")
    if setting and setting.partition(":")[0] == name:
        file = setting.partition(":")[2]
        if _announce(file):
            while os.path.getsize(file):
                time.sleep(0.01)


def _announce(file: str) -> bool:
    """Write this process's id to `file`. False if the file exists: only the first process pauses, and none after it."""
    if os.path.exists(file):
        return False
    own = f"{file}.{os.getpid()}"
    with open(own, "w") as stream:
        stream.write(str(os.getpid()))
    try:
        os.link(own, file)
    except FileExistsError:
        return False
    finally:
        os.unlink(own)
    return True
