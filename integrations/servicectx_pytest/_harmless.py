"""A guard for hooks: an exception in a hook ends the whole run, so one becomes a line for people instead."""

from collections.abc import Callable
from types import TracebackType

import pytest

# The user, or a test, ends the run. That is not a failure of the hook.
ENDS_THE_RUN = (KeyboardInterrupt, SystemExit, GeneratorExit, pytest.exit.Exception)

LENGTH = 300  # characters of an error's text


class Harmless:
    """A context manager that lets no failure out: `tell` gets one line with what is missing, and why.

    A test may have replaced whatever the block uses, also by something that calls `pytest.fail`.
    """

    def __init__(self, tell: Callable[[str], object], what: str) -> None:
        self._tell = tell
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> bool:
        if error is None or _ends_the_run(error):
            return False
        self._tell(f"servicectx: {self._what} is missing here ({_line(error)})")
        return True


def _ends_the_run(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(map(_ends_the_run, error.exceptions))
    return isinstance(error, ENDS_THE_RUN)


def _line(error: BaseException) -> str:
    try:
        text = " ".join(str(error).split())[:LENGTH]
    except Exception:  # noqa: BLE001  # the error is one of the test's own
        text = "it has no text"
    return f"{type(error).__name__}: {text}"
