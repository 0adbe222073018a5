"""A server's data directory: a copy of what was kept, made beside everything else that a start has to do."""

import os
import pwd
from pathlib import Path
from typing import Any

from servicectx._running import kept
from servicectx._running.copying import Owner
from servicectx._running.plan import Plan, Template
from servicectx._sharing.steps import step


class Data:
    """`begin` early, `arrived` when the copy is needed: meanwhile a child copies, and the keeper reads its modules."""

    def __init__(self, directory: Path, account: str | None, sources: list[Path]) -> None:
        self.directory = directory
        self.path = directory / "data"
        self._account = account
        self._sources = sources
        self._child: int | None = None
        self._trouble: Exception | None = None
        self.owner: Owner | None = None

    def begin(self) -> None:
        """Make the directory for the server, and start to copy the first source that is complete."""
        try:
            self._make_directory()
        except (OSError, KeyError) as error:
            self._trouble = error
            return
        step("copying")
        if any(source.exists() for source in self._sources):
            self._child = os.fork()
            if self._child == 0:
                self._copy()

    def _make_directory(self) -> None:
        if self._account is not None:
            entry = pwd.getpwnam(self._account)
            self.owner = (entry.pw_uid, entry.pw_gid)
        self.directory.mkdir(mode=0o700)
        if self.owner:
            os.chown(self.directory, *self.owner)

    def arrived(self) -> Path | None:
        """Wait for the copy; which source it is of, or None when none was complete. Raises what `begin` met."""
        if self._trouble is not None:
            raise self._trouble
        if self._child is None:
            return None
        _, status = os.waitpid(self._child, 0)
        self._child = None
        number = os.waitstatus_to_exitcode(status)
        return self._sources[number] if 0 <= number < len(self._sources) else None

    def _copy(self) -> None:
        """In the child: its exit status is the number of the source."""
        number = len(self._sources)
        try:
            brought = (kept.bring(source, self.path, self.owner) is not None for source in self._sources)
            number = next((found for found, whole in enumerate(brought) if whole), number)
        finally:
            os._exit(number)


def sources(what: Plan, order: dict[str, Any]) -> list[Path]:
    """Where the data may come from, best first."""
    if what.template is None:
        return []
    places = [snapshot_place(order), template_place(Path(order["cache"]), what.template)]
    return [place for place in places if place is not None]


def snapshot_place(order: dict[str, Any]) -> Path | None:
    return Path(order["cache"]) / "snapshots" / order["snapshot"] if order["snapshot"] else None


def template_place(cache: Path, template: Template) -> Path:
    return cache / "templates" / template.key
