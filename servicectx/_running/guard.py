"""Beside every keeper stands a guard that does nothing but wait for it.

Should somebody kill the keeper, the guard ends what it left running and clears up. Both have left the caller's
session, so no Ctrl-C and no hang-up reaches them.
"""

import os
import signal
from pathlib import Path

from servicectx._running import linux, pids
from servicectx._running.ending import how, record_death, remove_when_unused
from servicectx._running.keeper import Keeper
from servicectx._sharing.instance import Instance


def main(home: str, key: str, id: str) -> None:
    """Leave the caller's family, split into guard and keeper, and live."""
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    os.umask(0o077)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    os.closerange(3, min(os.sysconf("SC_OPEN_MAX"), 65536))
    guard = os.getpid()
    instance = Instance(Path(home), key)
    status = 1
    try:
        if keeper := os.fork():
            _guard(instance, id, keeper)
        else:
            os.setsid()
            Keeper(instance, id, guard).live()
        status = 0
    except BaseException:  # noqa: BLE001  # the last frame of this process: its guard learns from the status
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)  # no exit hook runs: mirakuru's would kill other people's processes


def _guard(instance: Instance, id: str, keeper: int) -> None:
    silence = os.open(os.devnull, os.O_RDWR)
    os.dup2(silence, 0)
    os.dup2(silence, 1)
    linux.adopt_orphans()
    _, status = os.waitpid(keeper, 0)
    if status == 0:
        return
    linux.end_orphans(grace=1.0)  # the kernel has sent them their parting signal already
    if (processes := instance.processes(id)) is not None:
        pids.send(processes.server, signal.SIGKILL)  # where no kernel does that, and nobody adopts
    reason = f"its keeper (process {keeper}) was {how(os.waitstatus_to_exitcode(status))}"
    state = record_death(instance, id, reason)
    if state is not None:
        instance.remove_data(state)
    remove_when_unused(instance, id)
