"""A new database out of one that nobody wants any more, on a server of our own.

A copy of a database costs what the kernel takes to make its files and later to remove them, a thousand and more, of
which a test touches twenty. So those of a database that was given back are used again:

1. nobody is connected to the old one, and nobody can be;
2. CREATE DATABASE copies a shell: a database with all that the template has in the server's own catalogs, and without
   a single file. The server makes no directory for what has none. Likewise the shell was a copy of the first copy of
   the template, whose directory was aside for that moment, before anybody knew of it. On the way it writes whatever
   of the old one is still in memory: unlogged tables, too, unlike CHECKPOINT;
3. the old one's directory is moved aside, with a link in its place, and DROP DATABASE finds no directory to remove. By
   then the server has forgotten it: no buffer, no open file, nobody in it, no record of it that a recovery would want.
   The link is for what may still be written of it until then: by an autovacuum that begins just now, no lock keeps it
   out, or by a client that was about to log in. Without a file to write to, whoever needs its buffer would hear of it;
4. the files that were written to are copied from the template again (`postgres_marks`);
5. the directory is moved to where the new one's has to be.

The template is one that nobody can connect to, and autovacuum finds nothing to do in it (`postgres_layers`), so its
files stay as they are. Any number of processes may do this at once. Killed at any step, it leaves names whose locks are
free: the helper drops these, with or without files.
What is not as expected (another tablespace, a file system that keeps no times, a server that others may be copies of)
is dropped and made from nothing.
"""

import functools
import glob
import os
from typing import NamedTuple

from servicectx.services.postgres import stamps as marks
from servicectx.services.postgres.attributes import copy_attributes
from servicectx.services.postgres.databases import BASE, LAYER, TEMPLATE, copy
from servicectx.services.postgres.drop import drop, end_all
from servicectx.services.postgres.locks import try_lock, unlock
from servicectx.services.postgres.stamps import CannotRestore
from servicectx.services.postgres.wire import Connection, Refused, literal, quoted
from servicectx.system.checkpoints import step

EMPTY_CLONE = f"{LAYER}shell_"
USUAL = 1663  # the oid of the tablespace that databases are in by default: src/include/catalog/pg_tablespace.dat


class Template(NamedTuple):
    """What databases are copies of."""

    name: str
    folder: str
    sizes: dict[str, int]


@functools.lru_cache(maxsize=8)
def recycling(data: str) -> "Recycling":
    """This process's, of the server with that data directory."""
    return Recycling(data)


class Recycling:
    """What one process knows of one server's files."""

    def __init__(self, data: str) -> None:
        self._data = data
        self._works = marks.stamps_are_reliable(os.path.dirname(data))
        self._templates: dict[str, Template | None] = {}
        self._shells: set[str] = set()  # those that are there for sure

    def mark(self, session: Connection, name: str, source: str) -> None:
        """Prepare a new copy of `source`, which nobody has used yet, and nobody knows of, to be made anew later.

        One of template1 is not marked: that may change, and what is made anew must not be a mixture.
        """
        if self._works and source != "template1" and (folder := self._folder(session, name)):
            try:
                marks.stamp(folder)
                self._make_shell(session, name, folder, EMPTY_CLONE + source)
            except Refused:
                pass  # the next one may have more luck
            except CannotRestore:
                self._works = False

    def clear(self, name: str) -> None:
        """Remove what somebody left who was killed while he made `name`."""
        if os.path.isdir(aside := self._aside(name)):
            marks.unlink_links(f"{self._data}/base", aside)
            marks.remove(aside)

    def remake(self, session: Connection, name: str, new: str, source: str) -> bool:
        """Make `new` a copy of `source`, out of `name`, which nobody wants any more.

        False: there is no `new`, and `name` may be there or not. Raises Refused, and OSError or EOFError when the
        server is gone.
        """
        source = TEMPLATE if source == BASE else source
        template = self._template(session, source) if self._works else None
        folder = self._empty(session, name) if template is not None else None
        if template is None or folder is None:
            return False
        aside = self._aside(new)
        try:
            copy(session, new, EMPTY_CLONE + source)
            copy_attributes(session, template.name, new)
            step("remake-created")
            self._take_away(session, name, folder, aside)
            step("remake-dropped")
            marks.restore(aside, template.folder, template.sizes)
            marks.move(aside, self._folder(session, new) or "")
        except (CannotRestore, Refused) as error:
            self._works = isinstance(error, Refused)
            self._shells.discard(EMPTY_CLONE + source)  # somebody may have dropped it
            self.clear(new)  # first: a server on a full disk may die of what it is asked next
            drop(session, new)
            return False
        return True

    def _aside(self, name: str) -> str:
        return f"{self._data}.{name}"

    def _empty(self, session: Connection, name: str) -> str | None:
        """The directory of a database in which nobody is, nor can be; None where there is none, or somebody stays."""
        folder = self._folder(session, name, _FREE)
        if folder is None or os.path.islink(folder) or not os.path.isdir(folder):
            return None  # whoever made it, or another one of it, was killed over its files
        _allow(session, name, False)
        return None if end_all(session, os.path.basename(folder)) else folder

    def _take_away(self, session: Connection, name: str, folder: str, aside: str) -> None:
        """Move the directory of a database aside, and drop it. Raises Unfit and Refused; then all is as it was."""
        marks.set_aside(folder, aside)
        try:
            step("remake-aside")
            session.run(f"DROP DATABASE {quoted(name)} WITH (FORCE)")
        except Refused:
            marks.unlink(folder)
            if self._folder(session, name):  # else somebody else dropped it
                marks.move(aside, folder)
            raise
        marks.unlink(folder)

    def _folder(self, session: Connection, name: str, also: str = "true") -> str | None:
        where = f"datname = {literal(name)} AND dattablespace = {USUAL} AND {also}"
        for oid in session.run(f"SELECT oid FROM pg_database WHERE {where}"):
            return f"{self._data}/base/{oid}"
        return None

    # -- templates and their shells ----------------------------------------------------------------------------------

    def _template(self, session: Connection, source: str) -> Template | None:
        """None: it has files elsewhere, or has no shell yet, or the server is not alone."""
        if source not in self._templates and _is_there(session, EMPTY_CLONE + source):
            try:
                self._templates[source] = self._seen(session, source)
            except CannotRestore:
                self._templates[source] = None
        return self._templates.get(source)

    def _seen(self, session: Connection, name: str) -> Template | None:
        folder = self._folder(session, name, f"NOT datallowconn AND {_ALONE}")
        if folder is None or glob.glob(f"{glob.escape(self._data)}/pg_tblspc/*/*/{os.path.basename(folder)}"):
            return None
        return Template(name, folder, marks.sizes(folder))

    def _make_shell(self, session: Connection, name: str, folder: str, shell: str) -> None:
        if shell in self._shells or not try_lock(session, shell):
            return
        try:
            if not _is_there(session, shell):
                aside = self._aside(name)
                marks.move(folder, aside)
                step("shell-making")
                try:
                    copy(session, shell, name)
                finally:
                    marks.move(aside, folder)
            _allow(session, shell, False)
        finally:
            unlock(session, shell)
        self._shells.add(shell)


# Nothing in it outlives its clients: see `postgres_left`.
_FREE = """NOT EXISTS (SELECT FROM pg_prepared_xacts WHERE database = datname)
    AND NOT EXISTS (SELECT FROM pg_replication_slots WHERE database = datname)
    AND NOT EXISTS (SELECT FROM pg_subscription WHERE subdbid = pg_database.oid)"""


# No other server has, or may get, what this one writes ahead: that does not tell of the files that are moved.
_ALONE = "current_setting('max_wal_senders') = '0' AND current_setting('archive_mode') = 'off'"


def _is_there(session: Connection, name: str) -> bool:
    return bool(session.run(f"SELECT 1 FROM pg_database WHERE datname = {literal(name)}"))


def _allow(session: Connection, name: str, connections: bool) -> None:
    session.run(f"ALTER DATABASE {quoted(name)} ALLOW_CONNECTIONS {str(connections).lower()}")
