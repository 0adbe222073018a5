"""The variables `SERVICECTX_...` of the environment: the ones that this library reads, and misspelt ones."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from servicectx.request.external import own_variable
from servicectx.system.typos import closest

#: All variables that do not contain the name of a service. `docs/environment.md` describes them.
FIXED = (
    "SERVICECTX_CACHE",
    "SERVICECTX_CACHE_SIZE",
    "SERVICECTX_DATA",
    "SERVICECTX_EXTERNAL_WAIT",
    "SERVICECTX_HOME",
    "SERVICECTX_KEEP_DATA",
    "SERVICECTX_LINGER",
    "SERVICECTX_POSTGRES_RECYCLE",
    "SERVICECTX_REQUIRE_SERVERS",
    "SERVICECTX_RUN",
    "SERVICECTX_RUN_SCOPE",
    "SERVICECTX_SCOPE",
    "SERVICECTX_STORAGE",
    "SERVICECTX_TEST_PAUSE",
    "SERVICECTX_TEST_PORTABLE",
    "SERVICECTX_TIMEOUT",
)

SHORT = 6  # letters; two slips in a shorter name make any other name of it


class Unknown(NamedTuple):
    """A variable that has no effect. `guess`: the name that was probably meant."""

    variable: str
    guess: str | None


def settings(environment: Mapping[str, str]) -> list[str]:
    """The variables of this library that are set. Details have passwords, so their values are left out."""
    names = sorted(name for name in environment if name.startswith("SERVICECTX_"))
    return [f"{name}={environment[name]}" if name in FIXED or name.endswith("_BIN") else name for name in names]


def unknown(environment: Mapping[str, str], services: Iterable[str]) -> list[Unknown]:
    """The variables in `environment` that begin with SERVICECTX and have no effect.

    `services` holds the names of services that are registered, and the names of the project. Programs may give a
    service any other name, so a variable `SERVICECTX_<NAME>_DETAILS` counts only if its name is close to a known one.
    """
    names = list(services)
    details = [own_variable(name) for name in names]
    known = [*FIXED, *details, *(f"SERVICECTX_{name.upper()}_BIN" for name in names)]
    found = []
    for variable in sorted(environment):
        if not variable.upper().startswith("SERVICECTX_") or variable in known:
            continue
        role = re.fullmatch(r"SERVICECTX_(\w+)_DETAILS", variable)
        guess = closest(variable, known, slips=1 if role and len(role[1]) < SHORT else 2)
        if guess is not None or not role:
            found.append(Unknown(variable, guess))
    return found
