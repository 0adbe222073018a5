"""The command of `servicectx run`: it runs in the foreground, gets the signals meant for it, and gives its status.

The command shares the process group of `servicectx run`. So Ctrl-C, Ctrl-Z and a closing terminal reach it from the
kernel, within a pipeline too. Signals sent to `servicectx run` alone are passed on.
"""

import os
import signal
import sys
from typing import NoReturn

from servicectx.cli import process_family
from servicectx.cli.command_watchdog import CommandWatchdog
from servicectx.system import linux

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
WATCHED = (*PASSED_ON, signal.SIGCHLD)
NOT_FOUND, NOT_RUNNABLE = 127, 126
FROM_KERNEL = 0x80  # si_code of a signal that a terminal made
LOOK = 2.0  # seconds between looks at the child, signals or not


def run(arguments: list[str], environment: dict[str, str], watchdog: CommandWatchdog) -> int:
    """Run the command to its end; its exit status, or 128 plus the number of the signal that ended it.

    Processes that the command left are ended: background processes, daemons, processes that handle SIGTERM.

    The signals stay blocked afterwards, because the remaining clean-up is short and must be finished.
    """
    linux.adopt_orphans()  # daemons of the command become children here, and are found at the end
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # while SIGCHLD is ignored, the exit status is lost
    before = signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _become(arguments, environment, watchdog, before)
    while True:
        status = _ended(child)
        if status is not None:
            process_family.end(os.getpid(), watchdog.mark, {watchdog.pid})
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        number = _next_signal()
        if number in PASSED_ON:
            os.kill(child, number)


def _ended(child: int) -> int | None:
    """The status of `child` once it has ended. Adopted orphans that have ended are reaped, too."""
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        if ended == child:
            return status
        if not ended:
            return None


def _become(
    arguments: list[str], environment: dict[str, str], watchdog: CommandWatchdog, mask: set[int | signal.Signals]
) -> NoReturn:
    status = NOT_RUNNABLE
    try:
        watchdog.register(os.getpid())
        for number in (*PASSED_ON, signal.SIGPIPE, signal.SIGXFSZ):
            # Signals that the caller ignores (nohup) stay ignored; signals that Python ignores or handles do not.
            set_by_python = number in (signal.SIGPIPE, signal.SIGXFSZ)
            if set_by_python or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        environment = environment | {process_family.MARK: watchdog.mark}
        os.execvpe(arguments[0], arguments, environment)
    except FileNotFoundError:
        status = NOT_FOUND
        sys.stderr.write(f"servicectx: {arguments[0]}: there is no such program\n")
    except OSError as error:
        sys.stderr.write(f"servicectx: {arguments[0]}: cannot be run: {error.strerror}\n")
    finally:
        os._exit(status)


def _next_signal() -> int | None:
    """The next signal that the child may not have got.

    A terminal sends SIGINT and SIGQUIT to the whole foreground group, so the child has them already. SIGHUP of a closed
    terminal reaches the session leader alone, which may be this process.
    """
    if hasattr(signal, "sigtimedwait"):
        received = signal.sigtimedwait(WATCHED, LOOK)
        number, from_terminal = (received.si_signo, received.si_code == FROM_KERNEL) if received else (None, False)
    else:
        number = signal.sigwait(WATCHED)
        from_terminal = _in_foreground()
    return None if from_terminal and number in (signal.SIGINT, signal.SIGQUIT) else number


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(sys.stderr.fileno()) == os.getpgrp()
    except OSError:
        return False
