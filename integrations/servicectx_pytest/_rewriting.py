"""pytest would rewrite the assertions of the whole library, because a plugin's distribution contains it.

Where no bytecode is written, as in images that set PYTHONDONTWRITEBYTECODE, each process of a run would compile more
than a hundred modules anew: 0.9 s of processor time of 3.0 s, measured with one test that uses Redis.
"""

import sys

import pytest

LIBRARY, TESTING = "servicectx", "servicectx.testing"


def except_the_library() -> None:
    """Unmark the library, without the assertions that a user's tests call."""
    for finder in sys.meta_path:
        marked = getattr(finder, "_must_rewrite", None)  # private to pytest; without it, runs are only slower
        if isinstance(marked, set):
            marked.discard(LIBRARY)
    if TESTING not in sys.modules:
        pytest.register_assert_rewrite(TESTING)


except_the_library()  # at this import, which comes before that of the library
