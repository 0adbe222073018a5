"""All instances of this user: find them, read their details, stop them, remove what dead ones left."""

import os
from pathlib import Path
from typing import Any, NamedTuple

from servicectx.client import cleanup, liveness
from servicectx.client.claim import Claim
from servicectx.client.ticket import redeem, ticket_for
from servicectx.errors import HomeError, UnknownService
from servicectx.request import key as _key
from servicectx.services import registry
from servicectx.services.base import Service
from servicectx.state import container, names, owned_files, paths, persistent, setup_record, storage
from servicectx.state.instance import Instance
from servicectx.state.record import READY, STOPPING, State, StateError
from servicectx.state.setup_record import SetupRecord
from servicectx.system import files
from servicectx.system import memory as usage
from servicectx.system import processes as pids
from servicectx.system.processes import Process

LOCK_TIMEOUT = 30.0  # seconds to wait for the key's lock


class Busy(Exception):
    """Another process starts or stops the instance for too long. The text names that process."""


class Elsewhere(Exception):
    """The instance runs in another PID namespace and can be stopped only there. The text is the place."""


class Running(NamedTuple):
    """An instance, as its files describe it now."""

    instance: Instance
    state: State

    @property
    def key(self) -> str:
        return self.instance.key

    @property
    def directory(self) -> Path:
        return self.instance.directory(self.state.id)

    @property
    def log(self) -> Path:
        return self.directory / "service.log"

    @property
    def service(self) -> Service[Any] | None:
        """The service; None for a service that is not registered in this process."""
        try:
            return registry.find(self.state.service)
        except UnknownService:
            return None

    def details(self) -> Any:
        """The details model; the base model for a service that is not registered in this process."""
        from servicectx.services.details import ServiceDetails

        state, fields = self.state, self.state.details or {}
        model = self.service.details_model() if self.service else ServiceDetails
        fields = {name: value for name, value in fields.items() if name in model.model_fields}
        if self.setup is not None:
            fields["setup"] = self.setup.text
        return model.model_construct(service=state.service, name=state.name, host=state.host, port=state.port, **fields)

    @property
    def setup(self) -> SetupRecord | None:
        """The set-up that the instance was made by; None without one."""
        return setup_record.decode(self.state.setup)

    def users(self) -> list[dict[str, Any]]:
        return self.instance.users(self.state.id)

    def linger(self) -> float:
        return self.instance.linger(self.state.id)

    def kept_data(self) -> str | None:
        """The data directory, if the data stay after the last user."""
        return self.state.data_directory if self.instance.keeps_data(self.state.id) else None

    def persistent(self) -> bool:
        """Whether the instance runs on persistent data."""
        return persistent.is_complete(Path(self.state.data_directory or "/nonexistent"))

    def answers(self) -> bool:
        return liveness.answers(self.instance, self.state, 2.0)

    def lives(self) -> bool:
        return liveness.lives(self.instance, self.state)

    def elsewhere(self) -> str | None:
        """The place of the instance, if that is another PID namespace."""
        return liveness.runs_elsewhere(self.instance, self.state)

    def memory(self) -> int | None:
        server = self.server()
        return usage.memory(server) if server else None

    def server(self) -> Process | None:
        """The server's process; None for a server in another PID namespace."""
        processes = self.instance.processes(self.state.id)
        return processes.server if processes and processes.origin.is_here() else None

    def data_size(self) -> int | None:
        return usage.room(self.state.data_directory) if self.state.data_directory else None

    def starter_lives(self) -> bool:
        return pids.alive(self.state.starter)

    def hold(self) -> Claim:
        """One more lease, in this process. Raises ServiceDied."""
        return redeem(ticket_for(self.instance, self.state))

    def hand_out(self, file: Path) -> None:
        """Write the details file. It is removed together with the instance, also after a kill in the middle."""
        from glob import escape

        from servicectx.services.details import file_text

        text, temporary = file_text(self.details()), files.beside(Path(os.path.realpath(file.parent), file.name))
        owned_files.note(self.directory, file, text)
        owned_files.leave(self.directory, [escape(str(temporary))])
        files.replace(file, temporary, text)

    def handed_out(self) -> Path | None:
        return next(iter(owned_files.noted(self.directory)), None)

    def down(self, force: bool) -> list[dict[str, Any]]:
        """Stop the instance and wait until it is removed: announce the stop, then count the users, as a keeper does.

        Returns the users: with any, and without `force`, nothing was stopped. Raises Busy, Elsewhere.
        """
        if place := self.elsewhere():
            raise Elsewhere(place)
        with self.instance.locked(LOCK_TIMEOUT) as locked:
            if not locked:
                raise Busy(self.instance.holder())
            now = liveness.current(self.instance)
            if now is None or now.id != self.state.id:
                return []
            if not force and now.phase == READY:
                self.instance.write(now._replace(phase=STOPPING))
                if users := self.instance.users(now.id):
                    self.instance.write(now)
                    return users
            cleanup.clear(self.instance, now)
            return []


def is_up(key: str) -> bool:
    """Whether a usable instance has this key, and `servicectx up` keeps it running. Raises HomeError."""
    instance = Instance(paths.home(), key)
    try:
        state = instance.look()
    except StateError:
        return False
    return state is not None and state.phase == READY and instance.is_up(state.id) and liveness.lives(instance, state)


def running() -> list[Running]:
    """All instances in this user's home, by name. Raises HomeError."""
    home = paths.home()
    found = []
    for key in names.keys(os.listdir(home), names.STATE):
        instance = Instance(home, key)
        try:
            state = instance.look()
        except (StateError, HomeError):
            continue
        if state is not None:
            found.append(Running(instance, state))
    return sorted(found, key=lambda one: (one.state.name, one.state.since))


def project_scope(directory: str = "") -> str:
    """The scope of the project around `directory`, in the form of state files."""
    return _key.scope_text(f"project:{directory}")


class Remains(NamedTuple):
    """Leftovers of dead instances: keys, data, kept data; and what `prune` leaves alone, each with the reason."""

    dead: list[str]
    data: list[Path]
    kept: list[Path]
    left_alone: dict[str, str]


def remains() -> Remains:
    """Find what `prune` may remove. Locked files and directories are never among it. Raises HomeError."""
    home = paths.home()
    dead: list[str] = []
    left_alone: dict[str, str] = {}
    for key in sorted(names.keys(os.listdir(home), *cleanup.OF_INSTANCES)):
        instance = Instance(home, key)
        if cleanup.is_in_use(instance):
            states = map(instance.own_copy, instance.ids())
            places = [liveness.runs_elsewhere(instance, state) for state in states if state is not None]
            if place := next(filter(None, places), None):
                left_alone[key] = f"it runs in {place}"
            continue
        try:
            with instance.locked() as locked:
                if locked and names.of_key(os.listdir(home), key, names.STATE, names.INSTANCE):
                    dead.append(key)
        except HomeError as error:
            left_alone[key] = error.problem
    data, kept = [], []
    for root in sorted({*storage.known_roots(), *(place.parent for place in cleanup.noted_places(home))}):
        for found in container.scan(root):
            if found.in_use or (home / found.path.name).exists():
                continue  # it lives, or is removed with its instance
            if found.record is None:
                left_alone[str(found.path)] = "no record names its home; remove it yourself"
            elif found.record.kept:
                kept.append(found.path)
            elif (Path(found.record.home) / found.path.name).exists():
                left_alone[str(found.path)] = f"they belong to SERVICECTX_HOME={_given_home(found.record.home)}"
            else:
                data.append(found.path)
    return Remains(dead, data, kept, left_alone)


def prune(found: Remains, kept_data: bool = False) -> None:
    """Remove what `remains` found and is still dead; kept data only with `kept_data`."""
    home = paths.home()
    cleanup.sweep(home, "", {path.parent for path in found.data})
    for path in [*found.data, *(found.kept if kept_data else ())]:
        container.remove(path, wait=0.0)
    cleanup.forget_places(home)


def _given_home(home: str) -> str:
    """The value of SERVICECTX_HOME that leads to this home."""
    path = Path(home)
    return str(path.parent if path.name == paths.IN_HOME else path)
