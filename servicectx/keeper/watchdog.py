"""The watchdog: a process beside every keeper that only waits for the keeper's end.

When the keeper is killed, the watchdog ends the processes of the instance and removes its files. Keeper and watchdog
have left the caller's session, so neither Ctrl-C nor SIGHUP reaches them.
"""

import contextlib
import os
import signal
import sys
from pathlib import Path

from servicectx.errors import HomeError
from servicectx.keeper import after_kill, process_marks
from servicectx.keeper.keeper import Keeper
from servicectx.keeper.requester import RequesterGone, write_report
from servicectx.keeper.shutdown import LOCK_TIMEOUT, current, exit_text, record_death, remove_when_unused
from servicectx.state.instance import Instance
from servicectx.state.instance_files import WATCHDOG
from servicectx.state.kernel_lock import KernelLock
from servicectx.system import linux
from servicectx.system import processes as pids
from servicectx.system.persistence import persist
from servicectx.system.reserve import Reserve


def main(home: str, key: str, id: str) -> None:
    """Leave the caller's session and fork: the parent becomes the watchdog, the child the keeper."""
    if os.fork():
        os._exit(0)
    os.setsid()
    linux.set_name(pids.KEEPER_NAME)
    os.chdir("/")
    os.umask(0o077)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    os.closerange(3, min(os.sysconf("SC_OPEN_MAX"), 65536))
    watchdog = os.getpid()
    instance = Instance(Path(home), key, KernelLock)
    status = 1
    try:
        if keeper := os.fork():
            _watch(instance, id, keeper)
        else:
            os.setsid()
            keeping = Keeper(instance, id, watchdog)
            keeping.live()
            if not keeping.is_clean:
                raise OSError("some processes or files of the instance are left; the watchdog tries again")
        status = 0
    except BaseException as error:  # noqa: BLE001  # the last frame of this process: the watchdog reads the exit status
        _report_crash(error, key)
    finally:
        os._exit(status)  # no exit hook runs: mirakuru's hook would kill unrelated processes


def _report_crash(error: BaseException, key: str) -> None:
    """Write the crash to keeper.log and report it to a requester that still waits, so that it does not retry."""
    import traceback

    from servicectx.errors import StartFailed

    text = "".join(traceback.format_exception(error))
    reason = f"its keeper crashed: {type(error).__name__}: {error}"
    failure = StartFailed(service=key.rpartition("-")[0], reason=reason, log_tail=text.rstrip())
    with contextlib.suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()
    with contextlib.suppress(OSError, RequesterGone):
        write_report({"failed": failure.record()})


def _watch(instance: Instance, id: str, keeper: int) -> None:
    """Wait for the keeper; after a failure remove what is left of the instance."""
    with contextlib.suppress(HomeError):  # without this lock, the keeper's own lock shows that the instance lives
        instance.hold(id, WATCHDOG, pids.me())
    reserve = Reserve()
    silence = os.open(os.devnull, os.O_RDWR)
    os.dup2(silence, 0)
    os.dup2(silence, 1)
    linux.adopt_orphans()
    _, status = os.waitpid(keeper, 0)
    if status == 0:
        return
    reserve.release()
    persist(linux.end_orphans, 1.0)  # the kernel has already sent their parent-death signal
    if (processes := instance.processes(id)) is not None:
        pids.send(processes.server, signal.SIGKILL)  # for systems without parent-death signals and subreapers
    persist(process_marks.end, instance.directory(id))
    after_kill.run(instance.directory(id))
    reason = f"its keeper (process {keeper}) was {exit_text(os.waitstatus_to_exitcode(status))}"
    persist(record_death, instance, id, reason)
    persist(_remove_data, instance, id)
    persist(remove_when_unused, instance, id)


def _remove_data(instance: Instance, id: str) -> None:
    with instance.locked(LOCK_TIMEOUT):
        state = current(instance, id)
    if state is not None:
        instance.remove_data(state)
