"""The parser of durations for arguments, variables, configuration files, the command line and options of pytest."""

import math
import re
from typing import Any

UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
FOREVER = ("forever", "inf")
FORMS = "is not a number of seconds, such as 1.5, or a duration, such as 90s, 5m, 2h, 1d or forever"


def seconds(value: Any, source: str = "") -> float:
    """The seconds of a duration: a number, or a text such as "90", "1.5", "90s", "5m", "2h", "1d", "forever".

    `source` follows the value in the error, such as " (from SERVICECTX_LINGER)". Raises ValueError.
    """
    number = _number(value)
    if number is None or not number >= 0:
        raise ValueError(f"{value!r}{source} {FORMS}")
    return number


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        text = value.strip()
        if text in FOREVER:
            return math.inf
        found = re.fullmatch(r"((?:\d+\.?\d*|\.\d+)(?:e\d+)?)([a-z]*)", text, re.ASCII)
        return float(found[1]) * UNITS[found[2]] if found and found[2] in UNITS else None
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None
