"""The data directory of a server: a copy of prepared data, made in parallel to the other work of a start.

    DATA_ROOT/KEY.ID/          the container: owned by this user, 0700 until the server's account must pass
        run/                   `{dir}`: owned by the account, like everything in it
            data/              `{data}`

Files for the account are made in the container, where the account cannot write. They get their owner there and are
moved into `run` when they are complete. Files in `run` are never reached by a path: see `directories`.
"""

import contextlib
import json
import os
import pwd
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from servicectx.datadirs import prepared, spare
from servicectx.datadirs.cache import SNAPSHOTS, TEMPLATES, Cache
from servicectx.datadirs.label import Label
from servicectx.datadirs.tree import Entry, Owner, cpu_count
from servicectx.errors import HomeError, KeptDataError, StartFailed
from servicectx.keeper import reopen
from servicectx.keeper.requester import close_pipes
from servicectx.services import plan
from servicectx.state import container, persistent
from servicectx.system import directories, polling
from servicectx.system.checkpoints import step
from servicectx.system.directories import RUN
from servicectx.system.removal import remove_entry

DATA = "data"
ARRIVING = "arriving"  # in the container: an incomplete copy
NEW = "new"  # in the container: a file or directory before its move into `run`
LOG = "service.log"
PASSABLE = 0o711
PROGRAMS = "programs"  # copied ones; see `programs`


class Source(NamedTuple):
    """The source of a copy, and the password in its data."""

    place: Path
    secret: str


class DataDirectory:
    """The data directory of one start: call `begin` early and `arrived` when the copy is needed.

    Between the two calls a child copies, and the keeper loads its modules.
    """

    def __init__(self, directory: Path, service_plan: plan.Plan, command: dict[str, Any], home: Path) -> None:
        self.home = home
        self.container = directory
        self.directory = directory / RUN
        self.path = self.directory / DATA
        self.cache = Cache(Path(command["cache"]), command["cache_size"])
        self.snapshot = self.cache.place(SNAPSHOTS, command["snapshot"]) if command["snapshot"] else None
        self.template = self.cache.place(TEMPLATES, service_plan.template.key) if service_plan.template else None
        self.sources = [place for place in (self.snapshot, self.template) if place is not None]
        self._label = Label(*command.get("label", ()))
        self._service, self._name = service_plan.service, command.get("name")
        self.opened: bool = command.get("opened", False)
        self.persist: bool = command.get("persist", False)
        self.locks: tuple[int, ...] = ()
        record = command.get("record") or {}
        self._secret: str = record.get("secret", "")
        self._program = (record["program"], record["program_state"], record["server_version"]) if record else None
        self._account = service_plan.account
        self._needs_data = plan.mentions(command["plan"], "data")
        self._child: int | None = None
        self._answer = -1
        self._trouble: Exception | None = None
        self.owner: Owner | None = None
        self._container = -1
        self._run = -1

    def begin(self) -> None:
        """Make the directory for the server and start to copy the first complete source."""
        try:
            self._make_directory()
        except (OSError, KeyError, HomeError, KeptDataError) as error:
            self._trouble = error
            return
        step("copying")
        self.begin_copy()

    def begin_copy(self) -> None:
        """Start a child that copies the first complete source."""
        if self.opened:
            return
        if any(source.exists() or spare.place(self.cache, source, self.owner).exists() for source in self.sources):
            self._answer, answer = os.pipe()
            self._child = os.fork()
            if self._child == 0:
                close_pipes()  # a waiting requester must see the end of the keeper
                self._copy(answer)
            os.close(answer)

    def _make_directory(self) -> None:
        if self._account is not None:
            entry = pwd.getpwnam(self._account)
            self.owner = (entry.pw_uid, entry.pw_gid)
        if self.opened:
            self._reopen()
            return
        if self.persist:
            self.locks = (persistent.begin(self.container),)
        else:
            container.begin(self.container, self.home, passable=self.owner is not None)
        self._container = directories.enter(self.container, owners=[os.geteuid()])
        self._run = directories.make(RUN, self._container)
        self._give(self._run)

    def _reopen(self) -> None:
        """Lock kept data for the server that will run on it, and record its program beside persistent data."""
        self.locks = (reopen.lock(self.container),)
        if self._program is not None:
            persistent.record_program(self.container, *self._program)
            step("program-recorded")
        self._container = directories.enter(self.container, owners=[os.geteuid()])
        try:
            self._run = directories.enter(RUN, self._container, self.owners)
            os.close(self.open())
        except OSError as error:
            raise reopen.gone(self.container, error) from None
        reopen.remove_runtime_files(self._run)

    def hand_over(self) -> None:
        """Let the server's account enter the container, before its first process starts."""
        if self.owner:
            os.fchmod(self._container, PASSABLE)

    def is_here(self, wait: float) -> bool:
        """Whether the copy is complete within `wait` seconds, or no copy was started."""
        return self._child is None or polling.is_readable(self._answer, wait)

    def arrived(self) -> Source | None:
        """The source of the copy, or None when no source was complete. Raises the error that `begin` met."""
        if self._trouble is not None:
            raise self._trouble
        if self.opened:
            return Source(self.path, self._secret)
        if self._child is None:
            return None
        with open(self._answer, encoding="utf-8") as file:
            raw = file.read()
        os.waitpid(self._child, 0)
        self._child = None
        if not raw:
            remove_entry(self._container, ARRIVING)  # a killed child may have left an incomplete copy
            return None
        os.rename(ARRIVING, DATA, src_dir_fd=self._container, dst_dir_fd=self._run)
        number, secret = json.loads(raw)
        return Source(self.sources[number], secret)

    def forget(self, source: Source) -> None:
        """Remove a copy that no server can use, and its source."""
        self.sources.remove(source.place)
        for useless in (source.place, spare.place(self.cache, source.place, self.owner)):
            prepared.drop(useless)
        remove_entry(self._run, DATA)

    def make_empty(self) -> None:
        """Make `{data}` empty, for a service that fills it by itself. A second call empties it again."""
        if self._needs_data:
            remove_entry(self._run, DATA)
            self._make_in(self._run, DATA)

    def clear(self, spare_data: bool) -> None:
        """Remove all that a server wrote into `{dir}`, for a restart without its data. Copied programs stay."""
        with os.scandir(self._run) as entries:
            names = [entry.name for entry in entries if entry.name not in (DATA, PROGRAMS)]
        for name in names:
            remove_entry(self._run, name)
        if not spare_data:
            self.make_empty()

    def open(self) -> int:
        """Open `{data}`, which belongs to the server's account, and return a descriptor. Raises OSError."""
        return directories.enter(DATA, self._run, self.owners)

    @property
    def owners(self) -> list[int]:
        """The user ids that may own the files in `run`."""
        return [self.owner[0] if self.owner else os.geteuid()]

    def keep(self, place: Path, secret: str) -> None:
        """Store a copy of the data in the cache, where that is possible."""
        named = self._label.of_template() if place == self.template else self._label
        with contextlib.suppress(OSError):
            data = self.open()
            try:
                self.cache.keep(data, place, secret, self.owners, named)
            finally:
                os.close(data)

    def leave_out(self, pattern: str) -> None:
        """Remove the files with names that match `pattern`. Raises OSError."""
        data = self.open()
        try:
            _remove_files(data, re.compile(pattern), self.owners)
        finally:
            os.close(data)

    def write(self, files: dict[str, Any], facts: dict[str, Any]) -> None:
        """Write files, with their placeholders filled in, beside the data. Entries with the same names are replaced.

        Raises StartFailed where a file cannot be written there. An invalid name is found before the first write.
        """
        rendered = plan.render(files, facts)
        for name in rendered:
            if problem := plan.problem_with(name):
                raise self._refused(name, problem)
        for name, text in rendered.items():
            try:
                self._write(name, text)
            except (directories.Unsafe, NotADirectoryError, IsADirectoryError) as error:
                raise self._refused(name, str(error)) from None

    def unlink(self, files: Iterable[str]) -> None:
        """Remove files that `write` made."""
        for name in files:
            *folders, last = name.split("/")
            with contextlib.suppress(OSError), self._folder(folders) as folder:
                os.unlink(last, dir_fd=folder)

    def keep_log(self, log: Path) -> None:
        """Leave the server's log beside its data, and the container closed. Raises OSError."""
        if self._container < 0:
            return
        with open(directories.open_file(log), "rb") as reading:
            remove_entry(self._container, LOG)
            with open(directories.create_file(LOG, self._container), "wb") as writing:
                while chunk := reading.read(1 << 20):
                    writing.write(chunk)
        log.unlink()
        os.fchmod(self._container, 0o700)

    # -- small parts -----------------------------------------------------------------------------------------------

    def _write(self, name: str, text: Any) -> None:
        *folders, last = name.split("/")
        with self._folder(folders) as folder:
            remove_entry(self._container, NEW)
            descriptor = directories.create_file(NEW, self._container)
            with open(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
                file.write(text if isinstance(text, str) else json.dumps(text, indent=1) + "\n")
                self._give(file.fileno())
            os.rename(NEW, last, src_dir_fd=self._container, dst_dir_fd=folder)

    @contextlib.contextmanager
    def _folder(self, names: list[str]) -> Any:
        """Open a directory below `run` for the block; a missing one is made for the server's account."""
        folder = os.dup(self._run)
        try:
            for name in names:
                with contextlib.suppress(FileExistsError):
                    self._make_in(folder, name)
                below = directories.enter(name, folder, self.owners)
                os.close(folder)
                folder = below
            yield folder
        finally:
            os.close(folder)

    def _make_in(self, folder: int, name: str) -> None:
        """Make a directory that belongs to the account. Raises FileExistsError."""
        with contextlib.suppress(FileNotFoundError):
            os.stat(name, dir_fd=folder, follow_symlinks=False)
            raise FileExistsError(name)
        remove_entry(self._container, NEW)
        made = directories.make(NEW, self._container)
        try:
            self._give(made)
        finally:
            os.close(made)
        os.rename(NEW, name, src_dir_fd=self._container, dst_dir_fd=folder)

    def _give(self, descriptor: int) -> None:
        if self.owner:
            os.fchown(descriptor, *self.owner)

    def _refused(self, name: str, problem: str) -> StartFailed:
        return StartFailed(service=self._service, name=self._name, reason=plan.refusal(name, problem))

    def _copy(self, answer: int) -> None:
        """Copy in the child and write the number and the password of the source, which may be removed afterwards."""
        target = Entry(self._container, ARRIVING)
        try:
            remove_entry(*target)
            for number, source in enumerate(self.sources):
                manifest = spare.take(spare.place(self.cache, source, self.owner), target)
                if (manifest := manifest or prepared.restore(source, target, self.owner, cpu_count())) is not None:
                    os.write(answer, json.dumps([number, manifest.get("secret", "")]).encode())
                    break
        finally:
            os._exit(0)


def _remove_files(directory: int, pattern: re.Pattern[str], owners: list[int]) -> None:
    with os.scandir(directory) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        if is_directory:
            with directories.entered(name, directory, owners) as below:
                _remove_files(below, pattern, owners)
        elif pattern.fullmatch(name):
            os.unlink(name, dir_fd=directory)
