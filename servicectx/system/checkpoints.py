"""Named steps of the story, where a test can make a process pause so that it can be killed just there.

Nothing happens unless `SERVICECTX_TEST_PAUSE` says `STEP:FILE`: then the process writes its id to FILE and
sleeps until somebody empties it.
"""

import os

from servicectx.system.originals import open, time


def step(name: str) -> None:
    wanted = os.environ.get("SERVICECTX_TEST_PAUSE")
    if wanted and wanted.partition(":")[0] == name:
        file = wanted.partition(":")[2]
        if not os.path.exists(file):  # the first to come is the one that pauses
            with open(file + ".new", "w") as writing:
                writing.write(str(os.getpid()))
            os.replace(file + ".new", file)
            while os.path.getsize(file):
                time.sleep(0.01)
