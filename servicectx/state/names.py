"""The names of this library's own files in a home and in a data root. Names must match in full; others are foreign.

KEY.lock        the key's lock
KEY.json        the state file; KEY.json.tmp while it is written
KEY.ID          the directory of one instance in a home, the container of its data in a data root
KEY.ID.data     in a home: the path of remaining data in a directory of the caller's
"""

import re
from collections.abc import Iterable

LOCK = "lock"
STATE = "state"
TEMPORARY = "temporary"
INSTANCE = "instance"
PLACE = "place"

_KEY = r"[A-Za-z0-9]{1,20}-[0-9a-f]{12}"
_ID = r"[0-9a-f]{8}"
_FORMS = {
    LOCK: re.compile(rf"({_KEY})\.lock", re.ASCII),
    STATE: re.compile(rf"({_KEY})\.json", re.ASCII),
    TEMPORARY: re.compile(rf"({_KEY})\.json\.tmp", re.ASCII),
    INSTANCE: re.compile(rf"({_KEY})\.{_ID}", re.ASCII),
    PLACE: re.compile(rf"({_KEY})\.{_ID}\.data", re.ASCII),
}


def is_key(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch(_KEY, text) is not None


def is_id(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch(_ID, text) is not None


def is_instance(name: object) -> bool:
    """Whether `name` is the name of an instance's directory, and of its data container."""
    return isinstance(name, str) and _FORMS[INSTANCE].fullmatch(name) is not None


def key_of(name: str, *forms: str) -> str | None:
    """The key in the name of a file; None for a name that has none of `forms` (default: all forms)."""
    for form in forms or _FORMS:
        if found := _FORMS[form].fullmatch(name):
            return found[1]
    return None


def keys(listing: Iterable[str], *forms: str) -> set[str]:
    """The keys that the names in `listing` belong to; foreign names are skipped."""
    return {key for name in listing if (key := key_of(name, *forms)) is not None}


def ids(listing: Iterable[str], *forms: str) -> dict[str, list[str]]:
    """The keys as of `keys`, each with the ids of its instances' directories."""
    found: dict[str, list[str]] = {}
    for name in listing:
        if (key := key_of(name, *forms)) is not None:
            ids = found.setdefault(key, [])
            if _FORMS[INSTANCE].fullmatch(name):
                ids.append(name.partition(".")[2])
    return found


def of_key(listing: Iterable[str], key: str, *forms: str) -> list[str]:
    """The names in `listing` that belong to `key`."""
    return sorted(name for name in listing if name.startswith(key) and key_of(name, *forms) == key)
