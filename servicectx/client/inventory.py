"""All instances of this user, from the outside: find them, read their details, take them down."""

import os
from pathlib import Path
from typing import Any, NamedTuple

from servicectx.client import keeper_link
from servicectx.client.claim import Claim, redeem
from servicectx.errors import HomeError, UnknownService
from servicectx.request import key as _key
from servicectx.services import registry
from servicectx.services.base import Service
from servicectx.state import container, names, owned_files, paths, storage
from servicectx.state.instance import Instance
from servicectx.state.record import READY, STOPPING, State, StateError
from servicectx.system import memory as usage
from servicectx.system import processes as pids
from servicectx.system.processes import Process

PATIENCE = 30.0  # seconds for whoever holds the key's lock


class Busy(Exception):
    """Somebody is starting or stopping it, and took too long for us to wait. Says who."""


class Elsewhere(Exception):
    """It runs in another PID namespace, where alone it can be stopped. Its text is the place."""


class Running(NamedTuple):
    """An instance as its files tell of it now."""

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
        """None: it is a service of somebody's own, not known here."""
        try:
            return registry.find(self.state.service)
        except UnknownService:
            return None

    def details(self) -> Any:
        """The details model; the base one where the service is not known here."""
        from servicectx.services.details import ServiceDetails

        state, told = self.state, self.state.details or {}
        model = self.service.details_model() if self.service else ServiceDetails
        told = {name: value for name, value in told.items() if name in model.model_fields}
        return model.model_construct(service=state.service, name=state.name, host=state.host, port=state.port, **told)

    def users(self) -> list[dict[str, Any]]:
        return self.instance.users(self.state.id)

    def linger(self) -> float:
        return self.instance.linger(self.state.id)

    def kept_data(self) -> str | None:
        """The data directory, if it is going to be left there."""
        return self.state.data_directory if self.instance.keeps_data(self.state.id) else None

    def answers(self) -> bool:
        return keeper_link.answers(self.instance, self.state, 2.0)

    def lives(self) -> bool:
        return keeper_link.lives(self.instance, self.state)

    def elsewhere(self) -> str | None:
        """Where it runs, in words, if that is another PID namespace."""
        return keeper_link.runs_elsewhere(self.instance, self.state)

    def memory(self) -> int | None:
        server = self.server()
        return usage.memory(server) if server else None

    def server(self) -> Process | None:
        """None as well where its process id means nothing: in another PID namespace."""
        processes = self.instance.processes(self.state.id)
        return processes.server if processes and processes.origin.is_here() else None

    def data_size(self) -> int | None:
        return usage.room(self.state.data_directory) if self.state.data_directory else None

    def starter_lives(self) -> bool:
        return pids.alive(self.state.starter)

    def hold(self) -> Claim:
        """One more lease, in this process. Raises ServiceDied."""
        return redeem(Claim.ticket_for(self.instance, self.state))

    def hand_out(self, file: Path) -> None:
        """Write the details file; it is removed together with the instance."""
        self.details().write(file)
        owned_files.note(self.directory, file)

    def handed_out(self) -> Path | None:
        return next(iter(owned_files.noted(self.directory)), None)

    def down(self, force: bool) -> list[dict[str, Any]]:
        """Stop it and wait until it is gone, as its keeper would: announce it first, then count who holds it.

        Gives those who hold it: then, without `force`, nothing happened. Raises Busy, Elsewhere.
        """
        if place := self.elsewhere():
            raise Elsewhere(place)
        with self.instance.locked(PATIENCE) as locked:
            if not locked:
                raise Busy(self.instance.holder())
            now = keeper_link.current(self.instance)
            if now is None or now.id != self.state.id:
                return []
            if not force and now.phase == READY:
                self.instance.write(now._replace(phase=STOPPING))
                if users := self.instance.users(now.id):
                    self.instance.write(now)
                    return users
            keeper_link.clear(self.instance, now)
            return []


def running() -> list[Running]:
    """All of this user's home, by name. Raises HomeError."""
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
    return sorted(found, key=lambda each: (each.state.name, each.state.since))


def project_scope(directory: str = "") -> str:
    """The scope, as state files have it, of the project around `directory`."""
    return _key.scope_text(f"project:{directory}")


class Remains(NamedTuple):
    """What dead instances left: their keys, their data, data that were kept; what is left alone, with the reason."""

    dead: list[str]
    data: list[Path]
    kept: list[Path]
    left_alone: dict[str, str]


def remains() -> Remains:
    """Look for what `prune` may remove. Nothing that is locked is ever in it. Raises HomeError."""
    home = paths.home()
    dead: list[str] = []
    left_alone: dict[str, str] = {}
    for key in sorted(names.keys(os.listdir(home), *keeper_link.OF_INSTANCES)):
        instance = Instance(home, key)
        if keeper_link.is_in_use(instance):
            states = map(instance.own_copy, instance.ids())
            places = [keeper_link.runs_elsewhere(instance, state) for state in states if state is not None]
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
    for root in sorted({*storage.known_roots(), *(place.parent for place in keeper_link.noted_places(home))}):
        for found in container.scan(root):
            if found.in_use or (home / found.path.name).exists():
                continue  # it is alive, or goes with its instance
            if found.record is None:
                left_alone[str(found.path)] = "it does not say whose data they are; remove it yourself"
            elif found.record.kept:
                kept.append(found.path)
            elif (Path(found.record.home) / found.path.name).exists():
                left_alone[str(found.path)] = f"they belong to SERVICECTX_HOME={_given_home(found.record.home)}"
            else:
                data.append(found.path)
    return Remains(dead, data, kept, left_alone)


def prune(found: Remains, kept_data: bool = False) -> None:
    """Remove what was found, as far as it is still dead; kept data only with `kept_data`."""
    home = paths.home()
    keeper_link.sweep(home, "", {path.parent for path in found.data})
    for path in [*found.data, *(found.kept if kept_data else ())]:
        container.remove(path, wait=0.0)
    keeper_link.forget_places(home)


def _given_home(home: str) -> str:
    """The value of SERVICECTX_HOME that leads to this home."""
    path = Path(home)
    return str(path.parent if path.name == paths.IN_HOME else path)
