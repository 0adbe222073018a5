"""Environment variables with connection details of several services."""

from collections.abc import Iterable, Mapping
from typing import Any


def of(every: Iterable[Any]) -> tuple[dict[str, str], list[str]]:
    """Variables of several details, and a remark for each pair of details that set the same variables.

    The first details supply these variables, and no others: the password of the second server would not fit the host
    of the first one. Each details object adds `<NAME>_URL` to the variables that its service's own tools read.
    """
    found: dict[str, str] = {}
    owner: dict[str, str] = {}
    remarks = []
    before: list[Any] = []
    for details in every:
        own_url = f"{prefix(details.name)}_URL"
        mine = _of_one(details)
        shared = [name for name, value in mine.items() if found.get(name, value) != value]
        for supplier in dict.fromkeys(owner[name] for name in shared):
            names = ", ".join(name for name in shared if owner[name] == supplier)
            own = f"; {details.name} supplies {own_url}" if own_url not in shared else ""
            remarks.append(f"{supplier} comes first and supplies {names}; {details.name} does not{own}")
        unfit = {name for earlier in before for name in _local(earlier).unset_env(mine)} - {own_url}
        for name, value in mine.items():
            if name not in unfit:
                owner.setdefault(name, details.name)
                found.setdefault(name, value)
        before.append(details)
    return found, remarks


def _local(details: Any) -> Any:
    """The details as of a server of servicectx: for an external one, the caller's own passwords would stay."""
    return details.model_copy(update={"external": False})


def _of_one(details: Any) -> dict[str, str]:
    foreign = details.unset_env()
    mine = {name: value for name, value in details.env().items() if name not in foreign}
    # Without URL parameters that override the caller's variables: these variables are removed.
    url = mine["DATABASE_URL"] if hasattr(details, "dsn") and "DATABASE_URL" in mine else details.url
    return mine | {f"{prefix(details.name)}_URL": url}


def foreign(every: Iterable[Any], environment: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Names in `environment` that lead clients to other servers in spite of the variables in `found`."""
    names = dict.fromkeys(name for details in every for name in details.unset_env(environment))
    return [name for name in names if name not in found]


def combined(environment: Mapping[str, str], every: Iterable[Any], found: Mapping[str, str]) -> dict[str, str]:
    """Environment of a program that uses these services."""
    removed = foreign(every, environment, found)
    return {name: value for name, value in environment.items() if name not in removed} | dict(found)


def prefix(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name.upper())
