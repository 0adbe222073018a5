"""Exclude the library from the assertion rewriting of pytest, which marks all packages of a plugin's distribution.

Otherwise each process of a run compiles more than a hundred modules anew where no bytecode is written, as in images
that set PYTHONDONTWRITEBYTECODE. That took 0.9 s of 3.0 s of processor time in a run of one test that uses Redis.
"""

import sys

import pytest

LIBRARY, TESTING = "servicectx", "servicectx.testing"


def except_the_library() -> None:
    """Exclude all modules but `servicectx.testing`, whose assertions fail in tests of users. Safe to call twice."""
    for finder in sys.meta_path:
        marked = getattr(finder, "_must_rewrite", None)  # private to pytest; without it, runs are only slower
        if isinstance(marked, set):
            marked.discard(LIBRARY)
    if TESTING not in sys.modules:  # for an imported module pytest would warn
        pytest.register_assert_rewrite(TESTING)


except_the_library()  # at this import, which comes before that of the library
