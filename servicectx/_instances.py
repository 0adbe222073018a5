"""All instances of this user, from the outside: find them, read their details, take them down."""

from pathlib import Path
from typing import Any, NamedTuple

from servicectx import _key
from servicectx._claim import Claim, redeem
from servicectx._running import launch, pids, usage
from servicectx._sharing import handouts, keep_record, paths, storage
from servicectx._sharing.instance import Instance
from servicectx._sharing.state import READY, STOPPING, Process, State, StateError
from servicectx.errors import HomeError, UnknownService
from servicectx.services import registry
from servicectx.services.base import Service

PATIENCE = 30.0  # seconds for whoever holds the key's lock


class Busy(Exception):
    """Somebody is starting or stopping it, and took too long for us to wait. Says who."""


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
        from servicectx.details.base import ServiceDetails

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
        return launch.answers(self.instance, self.state, 2.0)

    def lives(self) -> bool:
        return launch.lives(self.instance, self.state)

    def memory(self) -> int | None:
        processes = self.instance.processes(self.state.id)
        return usage.memory(processes.server) if processes else None

    def server(self) -> Process | None:
        processes = self.instance.processes(self.state.id)
        return processes.server if processes else None

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
        handouts.note(self.directory, file)

    def handed_out(self) -> Path | None:
        return next(iter(handouts.noted(self.directory)), None)

    def down(self, force: bool) -> list[dict[str, Any]]:
        """Stop it and wait until it is gone, as its keeper would: announce it first, then count who holds it.

        Gives those who hold it: then, without `force`, nothing happened. Raises Busy.
        """
        with self.instance.locked(PATIENCE) as locked:
            if not locked:
                raise Busy(self.instance.holder())
            now = launch.current(self.instance)
            if now is None or now.id != self.state.id:
                return []
            if not force and now.phase == READY:
                self.instance.write(now._replace(phase=STOPPING))
                if users := self.instance.users(now.id):
                    self.instance.write(now)
                    return users
            launch.clear(self.instance, now)
            return []


def running() -> list[Running]:
    """All of this user's home, by name. Raises HomeError."""
    home = paths.home()
    found = []
    for path in home.glob("*.json"):
        instance = Instance(home, path.stem)
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


def prune() -> list[str]:
    """Clear what the dead left, only where keeper and guard are proven gone and nobody holds a lease; their keys."""
    home = paths.home()
    before = _keys(home)
    launch.sweep(home, "")
    return sorted(before - _keys(home))


def _keys(home: Path) -> set[str]:
    return {path.name.partition(".")[0] for path in home.iterdir()} - {"data"}


def orphans() -> list[Path]:
    """Data directories of no instance in this home: kept on somebody's wish, or left by the dead of another home."""
    home = paths.home()
    places = {home / "data", *storage.known_roots()}
    return sorted(
        path
        for place in places
        if place.is_dir()
        for path in place.iterdir()
        if path.is_dir() and not (home / path.name).exists() and not keep_record.is_locked(path)
    )
