"""Users of an SMTP server: each has a maildir."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from servicectx.errors import NotIsolable
from servicectx.isolation import owner_names
from servicectx.isolation.interface import Isolation
from servicectx.services.smtp.server import USER, password
from servicectx.system.removal import remove_tree

if TYPE_CHECKING:
    from servicectx.services.smtp.details import SmtpDetails  # the type parameter below

KEPT = "kept"  # a file in a maildir that outlives its owner


class SmtpUsers(Isolation["SmtpDetails"]):
    """Users of an SMTP server, as namespaces."""

    def create(self) -> "SmtpDetails":
        """Create a user. Maildirs of dead owners are removed first."""
        maildir = self.details.maildir or ""
        if os.path.basename(maildir) != USER or not os.path.isdir(maildir):
            reason = (
                "users need a server that servicectx started on this machine, and details that are not a namespace's"
            )
            raise NotIsolable(service=self.details.service, reason=reason)
        root = Path(maildir).parent
        for left in root.iterdir():
            if owner_names.owner_is_dead(left.name) and not (left / KEPT).exists():
                remove_tree(left)
        user = owner_names.new_name()
        for part in ("", "new", "cur", "tmp"):
            (root / user / part).mkdir(mode=0o700)
        mine = {"user": user, "password": password(self.details.password, user), "maildir": str(root / user)}
        return self.details.model_copy(update=mine)

    def close(self, namespace: "SmtpDetails") -> None:
        maildir = Path(namespace.maildir or "")
        if owner_names.signature(maildir.name) == maildir.name == namespace.user:  # made by `create`
            remove_tree(maildir)

    def keep(self, namespace: "SmtpDetails") -> None:
        Path(namespace.maildir or "", KEPT).touch()
