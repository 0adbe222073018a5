"""The result of one check of `servicectx doctor`."""

from typing import NamedTuple

FINE, WRONG, ABSENT = "ok", "wrong", "absent"


class Finding(NamedTuple):
    """Result of one check; for a problem, with its cure. The field names are the keys of `--json`."""

    what: str
    result: str
    text: str
    cure: str = ""
