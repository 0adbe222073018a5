"""A user's namespace: from the pool of a local instance where there is one, else created and removed directly."""

import os
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from servicectx.errors import HomeError, NotIsolable
from servicectx.isolation.interface import NO_NAMESPACES, Clones, Isolation
from servicectx.isolation.namespace_methods import isolation_of
from servicectx.isolation.pool import MISSED, RETURNED, SERVED, CheckedOut, Pool
from servicectx.isolation.setup_step import SetupSteps
from servicectx.services.base import Service
from servicectx.state import names, paths
from servicectx.state.instance import Instance
from servicectx.state.record import READY, StateError
from servicectx.system.checkpoints import step
from servicectx.system.directories import RUN

if TYPE_CHECKING:
    from servicectx.services.details import ServiceDetails

D = TypeVar("D", bound="ServiceDetails")
C = TypeVar("C", bound="ServiceDetails", covariant=True)

POOL_WAIT = 0.04  # seconds for a namespace in the making; after that, the creation of a second one is faster
KEPT_FOR = 3600.0  # seconds; an instance stays up so long for a kept namespace


class Namespace(Protocol[C]):
    """A namespace that belongs to one user until `close` or `keep`."""

    @property
    def details(self) -> C: ...

    def close(self) -> None: ...

    def keep(self) -> None:
        """Leave the namespace in place."""

    @property
    def stays(self) -> str:
        """A text for the user: how long a kept namespace stays."""


class Place(NamedTuple):
    """A running instance of this home, its pool, and the data directory of its server."""

    instance: Instance
    id: str
    pool: Pool
    data: str

    def stay(self) -> None:
        self.instance.record_preferences(self.id, KEPT_FOR, keep_data=False)


STAYS_UP = f"its server stays up for {KEPT_FOR / 60:g} minutes after the last user has left"


class Direct(Generic[D]):
    """A namespace that the service creates and removes itself. Its name contains its owner."""

    def __init__(self, isolation: Isolation[D], setup: SetupSteps, place: Place | None) -> None:
        self._isolation = isolation
        self._place = place
        self.details: D = isolation.open(setup)

    def close(self) -> None:
        self._isolation.close(self.details)

    def keep(self) -> None:
        self._isolation.keep(self.details)
        if self._place is not None:
            self._place.stay()

    @property
    def stays(self) -> str:
        if not self._isolation.keeps:
            return "it stays until the first `isolated()` after the end of this process"
        return STAYS_UP if self._place is not None else "it stays until you remove it, or its server ends"


class Pooled(Generic[D]):
    """A namespace of the pool, or one that this process creates under a lock of the pool.

    The prefetcher removes returned namespaces. Where it has a backlog, users remove their own.
    """

    def __init__(self, place: Place, clones: Clones[D], taken: CheckedOut) -> None:
        self._place = place
        self._clones = clones
        self._taken = taken
        self.details: D = clones.details_of(taken.name)

    def close(self) -> None:
        if self._place.pool.is_piling_up():
            self._remove()
            return
        self._taken.release()
        if not self._place.pool.send_event(RETURNED):
            self._clones.drop(self._taken.name)
            self._taken.path.unlink(missing_ok=True)

    def _remove(self) -> None:
        """Remove the namespace now. After a failure the prefetcher tries again."""
        try:
            self._clones.drop(self._taken.name)
        except BaseException:
            self._taken.release()
            self._place.pool.send_event(RETURNED)
            raise
        self._taken.discard()

    def keep(self) -> None:
        self._place.pool.keep(self._taken)
        self._place.stay()

    @property
    def stays(self) -> str:
        return STAYS_UP


def open_namespace(service: Service[D], details: D, setup: SetupSteps) -> Namespace[D]:
    """Open a namespace for one user. Raises NotIsolable, SetupFailed."""
    place = _find(details)
    isolation = isolation_of(service, details, place.data if place is not None else "")
    if isolation is None:
        raise NotIsolable(service=service.name, reason=NO_NAMESPACES)
    clones = isolation.clones()
    if clones is None or place is None or not place.pool.events.exists():
        return Direct(isolation, setup, place)
    source = clones.source(setup)
    if taken := place.pool.claim(source):
        place.pool.send_event(SERVED + source)
        clones.disconnect()
        return Pooled(place, clones, taken)
    if taken := _recycled(place, clones, source) or place.pool.wait(source, POOL_WAIT):
        place.pool.send_event(SERVED + source)
        return Pooled(place, clones, taken)
    taken = place.pool.begin(clones.new_name(), source)
    if taken is None:  # the instance is gone: the connection to its address raises the error
        _places.clear()
        return Direct(isolation, setup, None)
    place.pool.send_event(RETURNED)  # wakes the prefetcher, which then watches this process
    try:
        step("pool-opening")
        clones.create(taken.name, setup)
        step("pool-opened")
    except BaseException:
        taken.release()
        place.pool.send_event(RETURNED)
        raise
    place.pool.send_event(MISSED + source)
    return Pooled(place, clones, taken)


def _recycled(place: Place, clones: Clones[D], source: str) -> CheckedOut | None:
    """A namespace recycled by this process from a returned one. None: none was returned, or the recycling failed."""
    old = place.pool.take_returned(source)
    new = place.pool.begin(clones.new_name(), source) if old is not None else None
    if old is None or new is None:
        return None
    try:
        step("pool-recycling")
        recycled = clones.recycle(old.name, new.name, source)
    except BaseException as error:
        old.release()
        new.release()
        place.pool.send_event(RETURNED)
        if isinstance(error, Exception):  # refused, or the server is gone: the creation of a new one shows which
            return None
        raise
    if recycled:
        old.discard()
        return new
    new.discard()
    old.release()
    place.pool.send_event(RETURNED)
    return None


_places: dict[tuple[Any, ...], Place] = {}


def _find(details: Any) -> Place | None:
    """The local instance with these details, by its state file: no other server has its port *and* its secrets."""
    secret = _secret({name: getattr(details, name, None) for name in SECRETS})
    address = (os.environ.get("SERVICECTX_HOME"), details.service, details.host, details.port, secret)
    if address not in _places:
        for instance in _instances():
            try:
                state = instance.look()
            except (StateError, HomeError):
                continue
            if state is None or state.phase != READY:
                continue
            if address[1:] == (state.service, state.host, state.port, _secret(state.details or {})):
                _places[address] = Place(
                    instance, state.id, Pool(instance.directory(state.id)), _server_directory(state.data_directory)
                )
                break
    return _places.get(address)


def _server_directory(data_directory: str | None) -> str:
    return os.path.join(data_directory, RUN, "data") if data_directory else ""


SECRETS = ("user", "password", "token", "socket")  # a server with a Unix socket may have no port


def _secret(values: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(values.get(name) or "" for name in SECRETS)


def _instances() -> list[Instance]:
    try:
        home = paths.home()
        return [Instance(home, key) for key in names.keys(os.listdir(home), names.STATE)]
    except (HomeError, OSError):
        return []
