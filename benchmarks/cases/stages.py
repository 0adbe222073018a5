"""Stages and variables that several cases share."""

from benchmarks.case import Stage

USABLE = Stage("exec until usable", "began", "usable")
LEFT = Stage("leaving: usable until the call returned", "usable", "left")
GONE = Stage("leaving: usable until the process is gone", "usable", "ended")
PROCESS = (USABLE, LEFT, GONE)

# Like the directories of an ordinary user, but for this case alone.
OURS = {
    "XDG_RUNTIME_DIR": "{base}/run",
    "XDG_CACHE_HOME": "{base}/cache",
    "SERVICECTX_REDIS_BIN": "{redis}",
    "SERVICECTX_POSTGRES_BIN": "{postgres}",
}
ON_DISK = OURS | {"SERVICECTX_HOME": "{base}/home"}  # this also moves the data there

CLUSTER = {"SERVICECTX_POSTGRES_BIN": "{postgres}"}  # of the floors

PYTEST = ("-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir={work}")
