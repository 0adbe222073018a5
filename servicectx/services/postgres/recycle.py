"""Recycle databases: make a new database out of a returned one, on a server started by servicectx.

Most of the cost of copying a database is the creation and removal of its files by the kernel. There are more than a
thousand files, and a test writes to about twenty. So the files of a returned database are used again:

1. The connections of the old database are ended, and new connections are forbidden.
2. CREATE DATABASE copies the empty clone: a database with the template's entries in the server's catalogs, but without
   files. For a source without a directory the server creates no directory. The empty clone itself was copied in the
   same way from the first copy of the template, with its directory parked, before that copy was in use. As a side
   effect, CREATE DATABASE flushes the old database's buffers: unlike CHECKPOINT, including unlogged tables.
3. The old database's directory is parked, with a link in its place, and DROP DATABASE finds no directory to remove. The
   server then holds nothing of it: no buffer, no open file, no session, no log record that a recovery needs. The link
   serves late writes: an autovacuum that starts just now, which no lock prevents, or a client that was logging in.
   Without a file to write to, any session that needs such a buffer would fail.
4. The files that were written to are copied again from the template (`stamps`).
5. The directory is moved to the new database's path.

The template accepts no connections, and autovacuum has nothing to do in it (`templates`), so its files do not change.
`SERVICECTX_POSTGRES_RECYCLE=0` turns recycling off. So does a server whose major version is not in `TESTED_VERSIONS`.

Any number of processes may recycle at once. A process that is killed at any step leaves names with free locks: the
prefetcher drops these databases, with or without files.
Unsupported cases are dropped and created from scratch: another tablespace, a file system without exact times, a server
that may have replicas.
"""

import functools
import glob
import os
from typing import NamedTuple

from servicectx.services.postgres import stamps
from servicectx.services.postgres.attributes import copy_attributes
from servicectx.services.postgres.databases import BASE, TEMPLATE, TEMPLATE_PREFIX, copy, major
from servicectx.services.postgres.drop import drop, end_all
from servicectx.services.postgres.locks import try_lock, unlock
from servicectx.services.postgres.stamps import CannotRestore
from servicectx.services.postgres.wire import Connection, Refused, literal, quoted
from servicectx.system.checkpoints import step

TESTED_VERSIONS = (15, 16, 17, 18)  # major versions that the tests run with
SWITCH = "SERVICECTX_POSTGRES_RECYCLE"
EMPTY_CLONE = f"{TEMPLATE_PREFIX}shell_"
USUAL = 1663  # the oid of the default tablespace: src/include/catalog/pg_tablespace.dat


class Template(NamedTuple):
    """A database that others are copied from, with the sizes of its files."""

    name: str
    folder: str
    sizes: dict[str, int]


def is_switched_off() -> bool:
    return os.environ.get(SWITCH, "").lower() in ("0", "false", "no", "off")


def refusal(version: int) -> str | None:
    """The reason why databases of a server of that major version are not recycled; None where they are."""
    if is_switched_off():
        return f"{SWITCH} is {os.environ[SWITCH]}"
    return None if version in TESTED_VERSIONS else f"it was not tested with Postgres {version}"


@functools.lru_cache(maxsize=8)
def recycling(data: str) -> "Recycling":
    """This process's `Recycling` for the server with that data directory."""
    return Recycling(data)


class Recycling:
    """The recycling of one server's databases by this process."""

    def __init__(self, data: str) -> None:
        self._data = data
        self._works = stamps.stamps_are_reliable(os.path.dirname(data))
        self._templates: dict[str, Template | None] = {}
        self._empty_clones: set[str] = set()  # names of empty clones that exist

    def mark(self, session: Connection, name: str, source: str) -> None:
        """Stamp `name`, a new and unused copy of `source`, so that it can be recycled later.

        Copies of template1 are not stamped: template1 may change, and a recycled database must not be a mixture.
        """
        if self._recycles(session) and source != "template1" and (folder := self._folder(session, name)):
            try:
                stamps.stamp(folder)
                self._make_empty_clone(session, name, folder, EMPTY_CLONE + source)
            except Refused:
                pass  # the next copy may succeed
            except CannotRestore:
                self._works = False

    def may_work(self) -> bool:
        """False if every call of `recycle` is going to refuse."""
        return self._works and not is_switched_off()

    def _recycles(self, session: Connection) -> bool:
        self._works &= major(session) in TESTED_VERSIONS
        return self.may_work()

    def clear(self, name: str) -> None:
        """Remove the files of a process that was killed while it made `name`."""
        if os.path.isdir(parked := self._parked_path(name)):
            stamps.unlink_links(f"{self._data}/base", parked)
            stamps.remove(parked)

    def recycle(self, session: Connection, name: str, new: str, source: str) -> bool:
        """Make `new`, a copy of `source`, out of the returned database `name`.

        False: `new` does not exist, and `name` may or may not exist. Raises Refused, and OSError or EOFError when the
        server is gone.
        """
        source = TEMPLATE if source == BASE else source
        template = self._template(session, source) if self._recycles(session) else None
        folder = self._empty(session, name) if template is not None else None
        if template is None or folder is None:
            return False
        parked = self._parked_path(new)
        try:
            copy(session, new, EMPTY_CLONE + source)
            copy_attributes(session, template.name, new)
            step("recycle-created")
            self._park_and_drop(session, name, folder, parked)
            step("recycle-dropped")
            stamps.restore(parked, template.folder, template.sizes)
            stamps.move(parked, self._folder(session, new) or "")
        except (CannotRestore, Refused) as error:
            self._works = isinstance(error, Refused)
            self._empty_clones.discard(EMPTY_CLONE + source)  # another process may have dropped it
            self.clear(new)  # first: on a full disk the next statement may crash the server
            drop(session, new)
            return False
        return True

    def _parked_path(self, name: str) -> str:
        return f"{self._data}.{name}"

    def _empty(self, session: Connection, name: str) -> str | None:
        """Close a database and return its directory. None if there is no directory, or if a session stays."""
        folder = self._folder(session, name, _FREE)
        if folder is None or os.path.islink(folder) or not os.path.isdir(folder):
            return None  # a process was killed while it moved the files
        _allow(session, name, False)
        return None if end_all(session, os.path.basename(folder)) else folder

    def _park_and_drop(self, session: Connection, name: str, folder: str, parked: str) -> None:
        """Park the directory of a database, and drop the database. On CannotRestore or Refused nothing has changed."""
        stamps.set_aside(folder, parked)
        try:
            step("recycle-parked")
            session.run(f"DROP DATABASE {quoted(name)} WITH (FORCE)")
        except Refused:
            stamps.unlink(folder)
            if self._folder(session, name):  # otherwise another process dropped it
                stamps.move(parked, folder)
            raise
        stamps.unlink(folder)

    def _folder(self, session: Connection, name: str, condition: str = "true") -> str | None:
        where = f"datname = {literal(name)} AND dattablespace = {USUAL} AND {condition}"
        for oid in session.run(f"SELECT oid FROM pg_database WHERE {where}"):
            return f"{self._data}/base/{oid}"
        return None

    # -- templates and their empty clones ----------------------------------------------------------------------------

    def _template(self, session: Connection, source: str) -> Template | None:
        """The template of that name. None: it has no empty clone, or files elsewhere, or the server has replicas."""
        if source not in self._templates and _is_there(session, EMPTY_CLONE + source):
            try:
                self._templates[source] = self._read_template(session, source)
            except CannotRestore:
                self._templates[source] = None
        return self._templates.get(source)

    def _read_template(self, session: Connection, name: str) -> Template | None:
        folder = self._folder(session, name, f"NOT datallowconn AND {_ALONE}")
        if folder is None or glob.glob(f"{glob.escape(self._data)}/pg_tblspc/*/*/{os.path.basename(folder)}"):
            return None
        return Template(name, folder, stamps.sizes(folder))

    def _make_empty_clone(self, session: Connection, name: str, folder: str, empty_clone: str) -> None:
        if empty_clone in self._empty_clones or not try_lock(session, empty_clone):
            return
        try:
            if not _is_there(session, empty_clone):
                parked = self._parked_path(name)
                stamps.move(folder, parked)
                step("shell-making")
                try:
                    copy(session, empty_clone, name)
                finally:
                    stamps.move(parked, folder)
            _allow(session, empty_clone, False)
        finally:
            unlock(session, empty_clone)
        self._empty_clones.add(empty_clone)


# Nothing in the database outlives its clients: see `blockers`.
_FREE = """NOT EXISTS (SELECT FROM pg_prepared_xacts WHERE database = datname)
    AND NOT EXISTS (SELECT FROM pg_replication_slots WHERE database = datname)
    AND NOT EXISTS (SELECT FROM pg_subscription WHERE subdbid = pg_database.oid)"""


# No replica and no archive reads the write-ahead log, which does not contain the moved files.
_ALONE = "current_setting('max_wal_senders') = '0' AND current_setting('archive_mode') = 'off'"


def _is_there(session: Connection, name: str) -> bool:
    return bool(session.run(f"SELECT 1 FROM pg_database WHERE datname = {literal(name)}"))


def _allow(session: Connection, name: str, connections: bool) -> None:
    session.run(f"ALTER DATABASE {quoted(name)} ALLOW_CONNECTIONS {str(connections).lower()}")
