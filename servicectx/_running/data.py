"""A server's data directory: a copy of what was kept, made beside everything else that a start has to do."""

import json
import os
import pwd
import re
import select
from pathlib import Path
from typing import Any, NamedTuple

from servicectx._running import kept, plan, spare
from servicectx._running.cache import SNAPSHOTS, TEMPLATES, Cache
from servicectx._running.copying import Owner, all_hands
from servicectx._sharing.removal import remove_tree
from servicectx._sharing.steps import step
from servicectx.errors import KeptDataError


class Source(NamedTuple):
    """What the data are a copy of, and the password in them."""

    place: Path
    secret: str


class Data:
    """`begin` early, `arrived` when the copy is needed: meanwhile a child copies, and the keeper reads its modules."""

    def __init__(self, directory: Path, what: plan.Plan, order: dict[str, Any]) -> None:
        self.container = directory
        self.directory = directory
        self.path = directory / "data"
        self.cache = Cache(Path(order["cache"]), order["cache_size"])
        self.snapshot = self.cache.place(SNAPSHOTS, order["snapshot"]) if order["snapshot"] else None
        self.template = self.cache.place(TEMPLATES, what.template.key) if what.template else None
        self.sources = [place for place in (self.snapshot, self.template) if place is not None]
        self.opened: bool = order.get("opened", False)
        self.locks: tuple[int, ...] = ()
        self._secret: str = (order.get("record") or {}).get("secret", "")
        self._account = what.account
        self._wanted = "{data}" in order["plan"]
        self._child: int | None = None
        self._answer = -1
        self._trouble: Exception | None = None
        self.owner: Owner | None = None

    def begin(self) -> None:
        """Make the directory for the server, and start to copy the first source that is complete."""
        try:
            self._make_directory()
        except (OSError, KeyError, KeptDataError) as error:
            self._trouble = error
            return
        step("copying")
        self.begin_copy()

    def begin_copy(self) -> None:
        """Start to copy the best there is."""
        if self.opened:
            return
        if any(source.exists() or spare.place(self.cache, source, self.owner).exists() for source in self.sources):
            self._answer, answer = os.pipe()
            self._child = os.fork()
            if self._child == 0:
                self._copy(answer)
            os.close(answer)

    def _make_directory(self) -> None:
        if self._account is not None:
            entry = pwd.getpwnam(self._account)
            self.owner = (entry.pw_uid, entry.pw_gid)
        if self.opened:
            from servicectx._running import keeping

            self.locks = (keeping.reopen(self.container, self.path),)
            return
        self._mkdir(self.directory)

    def is_here(self, wait: float) -> bool:
        """Whether the copy is complete within `wait` seconds, or there is none to wait for."""
        return self._child is None or bool(select.select([self._answer], [], [], wait)[0])

    def arrived(self) -> Source | None:
        """What the copy is of, or None when nothing was complete. Raises what `begin` met."""
        if self._trouble is not None:
            raise self._trouble
        if self.opened:
            return Source(self.path, self._secret)
        if self._child is None:
            return None
        with open(self._answer, encoding="utf-8") as file:
            said = file.read()
        os.waitpid(self._child, 0)
        self._child = None
        if not said:
            remove_tree(self.path)  # what there may be of it, had somebody killed the child
            return None
        number, secret = json.loads(said)
        return Source(self.sources[number], secret)

    def forget(self, source: Source) -> None:
        """Remove a copy that no server can use, and what it is of."""
        self.sources.remove(source.place)
        for useless in (source.place, spare.place(self.cache, source.place, self.owner)):
            kept.drop(useless)
        remove_tree(self.path)

    def make_empty(self) -> None:
        """For a service that fills it by itself. The second time it is emptied."""
        if self._wanted:
            if self.path.exists():
                remove_tree(self.path)
            self._mkdir(self.path)

    def leave_out(self, pattern: str) -> None:
        """Remove the files with such names."""
        for folder, _, names in os.walk(self.path):
            for name in names:
                if re.fullmatch(pattern, name):
                    os.unlink(f"{folder}/{name}")

    def write(self, files: dict[str, str], facts: dict[str, Any]) -> None:
        """Write files, with their placeholders filled in, beside the data; whatever had their names is replaced."""
        for name, text in plan.render(files, facts).items():
            path = self.directory / name
            path.unlink(missing_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                if self.owner:
                    os.fchown(file.fileno(), *self.owner)

    def _mkdir(self, path: Path) -> None:
        path.mkdir(mode=0o700)
        if self.owner:
            os.chown(path, *self.owner)

    def _copy(self, answer: int) -> None:
        """In the child. It says what the copy itself says of its password: the source may be gone by then."""
        try:
            for number, source in enumerate(self.sources):
                said = spare.take(spare.place(self.cache, source, self.owner), self.path)
                if (said := said or kept.bring(source, self.path, self.owner, all_hands())) is not None:
                    os.write(answer, json.dumps([number, said.get("secret", "")]).encode())
                    break
        finally:
            os._exit(0)
