"""The account of a contender. Postgres rejects root, so root runs such contenders as an unprivileged account."""

import os
import pwd
from pathlib import Path
from typing import Any, NamedTuple


class Account(NamedTuple):
    """A user of this machine, as arguments of `subprocess`."""

    user: int
    group: int

    @property
    def switch(self) -> dict[str, Any]:
        """Arguments that switch to this account; none for the account of this process."""
        if self.user == os.geteuid():
            return {}
        return {"user": self.user, "group": self.group, "extra_groups": []}

    def own(self, path: Path) -> None:
        if self.user != os.geteuid():
            os.chown(path, self.user, self.group)


def me() -> Account:
    return Account(os.geteuid(), os.getegid())


def unprivileged() -> Account:
    """This user, or for root the account `postgres` or `nobody`."""
    if os.geteuid() != 0:
        return me()
    known = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    entry = known.get("postgres") or known["nobody"]
    return Account(entry.pw_uid, entry.pw_gid)
