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
        if not os.path.exists(file):  # only the first process pauses
            with open(file + ".new", "w") as stream:
                stream.write(str(os.getpid()))
            os.replace(file + ".new", file)
            while os.path.getsize(file):
                time.sleep(0.01)
