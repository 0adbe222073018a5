"""Protection for hooks: an exception in a hook ends the whole run, so it is reported as a line instead."""

from collections.abc import Callable
from types import TracebackType

import pytest

# The user or a test ends the run: not a failure of the hook.
ENDS_THE_RUN = (KeyboardInterrupt, SystemExit, GeneratorExit, pytest.exit.Exception)

LENGTH = 300  # characters of an error's text


class Harmless:
    """A context manager that suppresses failures: `report` gets a line with the missing item and the error.

    A test may have replaced any function that the block calls, even by a function that calls `pytest.fail`.
    """

    def __init__(self, report: Callable[[str], object], item: str) -> None:
        self._report = report
        self._item = item

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if error is None or _ends_the_run(error):
            return False
        self._report(f"servicectx: {self._item} is missing here ({_line(error)})")
        return True


def _ends_the_run(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(map(_ends_the_run, error.exceptions))
    return isinstance(error, ENDS_THE_RUN)


def _line(error: BaseException) -> str:
    try:
        text = " ".join(str(error).split())[:LENGTH]
    except Exception:  # noqa: BLE001  # the error may be a class of the test
        text = "no message"
    return f"{type(error).__name__}: {text}"
