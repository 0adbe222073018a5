"""The command that `servicectx run` runs: in the foreground, with every signal that is meant for it, and its status.

It shares our process group. So Ctrl-C, Ctrl-Z and a closing terminal reach it from the kernel, as if it had been
started without us, also within a pipeline; what others send to us alone is passed on.
"""

import os
import signal
import sys
from typing import NoReturn

from servicectx.cli import family
from servicectx.cli.guard import Guard
from servicectx.system import linux

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
WATCHED = (*PASSED_ON, signal.SIGCHLD)
NOT_FOUND, NOT_RUNNABLE = 127, 126
FROM_KERNEL = 0x80  # si_code of a signal that a terminal made
LOOK = 2.0  # seconds between looks at the child, whatever signals say


def run(words: list[str], environment: dict[str, str], guard: Guard) -> int:
    """Run it to its end; its exit status, or 128 and the number of the signal that ended it.

    What it left running ends with it: background processes, daemons, processes that handle SIGTERM.

    The signals stay blocked afterwards: what is left to do is short, and must be done.
    """
    linux.adopt_orphans()  # a daemon of the command's comes to us, so that it is found at the end
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would take the exit status away
    before = signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _become(words, environment, guard, before)
    while True:
        status = _ended(child)
        if status is not None:
            family.end(os.getpid(), guard.mark, {guard.pid})
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        number = _next_signal()
        if number in PASSED_ON:
            os.kill(child, number)


def _ended(child: int) -> int | None:
    """The status of `child` once it has ended. Orphans that were adopted and have ended are reaped on the way."""
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        if ended == child:
            return status
        if not ended:
            return None


def _become(words: list[str], environment: dict[str, str], guard: Guard, mask: set[int | signal.Signals]) -> NoReturn:
    status = NOT_RUNNABLE
    try:
        guard.tell(os.getpid())
        for number in (*PASSED_ON, signal.SIGPIPE, signal.SIGXFSZ):
            # What our caller ignores (nohup) stays ignored; what Python ignores or handles does not.
            ours = number in (signal.SIGPIPE, signal.SIGXFSZ)
            if ours or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        environment = environment | {family.MARK: guard.mark}
        os.execvpe(words[0], words, environment)  # running the user's command is what this is for
    except FileNotFoundError:
        status = NOT_FOUND
        sys.stderr.write(f"servicectx: {words[0]}: there is no such program\n")
    except OSError as error:
        sys.stderr.write(f"servicectx: {words[0]}: it cannot be run: {error.strerror}\n")
    finally:
        os._exit(status)


def _next_signal() -> int | None:
    """The next signal that the child may not have had. A terminal sends its keys' to all in the foreground, so to the
    child too; that it was closed it tells the first process of the session alone, and that may be this one."""
    if hasattr(signal, "sigtimedwait"):
        heard = signal.sigtimedwait(WATCHED, LOOK)
        number, from_terminal = (heard.si_signo, heard.si_code == FROM_KERNEL) if heard else (None, False)
    else:
        number = signal.sigwait(WATCHED)
        from_terminal = _in_foreground()
    return None if from_terminal and number in (signal.SIGINT, signal.SIGQUIT) else number


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(sys.stderr.fileno()) == os.getpgrp()
    except OSError:
        return False
