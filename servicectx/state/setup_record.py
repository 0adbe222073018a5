"""The record of the set-up that an instance was made by: for `status`, for details and for reports of tests."""

import hashlib
from typing import Any, NamedTuple

DIGITS = 8  # hexadecimal digits of the hash for people


class SetupRecord(NamedTuple):
    """Names of the steps in order, the short hash of their identity, and when they ran: seconds since 1970.

    `ran` is None while the set-up has not ended. `restored`: the data is a snapshot, made after the set-up ran.
    """

    names: list[str]
    hash: str
    ran: float | None = None
    restored: bool = False

    @property
    def label(self) -> str:
        """The names and the hash: `conftest:migrate (3fa9c1e2)`."""
        return f"{', '.join(self.names)} ({self.hash})"

    @property
    def text(self) -> str:
        """The label and the time in UTC."""
        if self.ran is None:
            return self.label
        import datetime

        time = datetime.datetime.fromtimestamp(self.ran, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"{self.label}, ran {time}"


def new(names: list[str], identity: str) -> SetupRecord:
    digest = hashlib.sha256(identity.encode(errors="surrogatepass")).hexdigest()
    return SetupRecord(names, digest[:DIGITS])


def decode(raw: dict[str, Any] | None) -> SetupRecord | None:
    """The record in a state file; None without one, or for a record of another version."""
    try:
        return None if raw is None else SetupRecord(**raw)
    except TypeError:
        return None
