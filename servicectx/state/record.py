"""The record of the state file: plain data, encoded and decoded without I/O; the details in it stay opaque."""

from typing import Any, NamedTuple

from servicectx.state import names, origin
from servicectx.state.origin import Origin
from servicectx.system import reading
from servicectx.system.originals import json
from servicectx.system.processes import Process

VERSION = 2

STARTING = "starting"  # a requester holds the key's lock, and a keeper starts the server
READY = "ready"  # usable: requests join it
STOPPING = "stopping"  # its keeper found no lease and counts again
FAILED = "failed"  # the start failed; waiting processes read the error in the record
DIED = "died"  # the server died in use; the record has the reason

PHASES = (STARTING, READY, STOPPING, FAILED, DIED)


class StateError(Exception):
    """A file that is not a state file of this version."""


class State(NamedTuple):
    """One instance. Its `id` is never reused; the key's state file names the current instance."""

    id: str
    phase: str
    service: str
    name: str
    since: float
    starter: Process
    data_directory: str | None = None
    host: str = ""
    port: int = 0
    details: dict[str, Any] | None = None
    ping: dict[str, Any] | None = None
    failure: dict[str, Any] | None = None
    scope: str = ""
    setup: dict[str, Any] | None = None  # see `setup_record`


class Processes(NamedTuple):
    """The processes of an instance, written by its keeper alone into the instance's directory."""

    keeper: Process
    watchdog: Process | None = None
    server: Process | None = None
    origin: Origin = Origin()


def encode(state: State) -> str:
    return json.dumps({"version": VERSION, **state._asdict()})


def decode(text: str) -> State:
    """The record in `text`. Raises StateError for anything that `encode` of this version did not write."""
    try:
        raw = reading.parse_json(text)
        if raw.pop("version") != VERSION:
            raise StateError("another version of servicectx wrote it")
        state = State(**raw | {"starter": _process(raw["starter"])})
    except StateError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise StateError(f"it is not a state file: {error!r:.200}") from None
    if state.phase not in PHASES or not names.is_id(state.id) or not _has_valid_fields(state):
        raise StateError("it is not a state file: a field has an invalid value")
    return state


def encode_processes(processes: Processes) -> str:
    return json.dumps(processes._asdict())


def decode_processes(text: str) -> Processes | None:
    """The processes in `text`; None for a text that `encode_processes` did not write."""
    try:
        raw = reading.parse_json(text)
        watchdog, server = (raw[name] and _process(raw[name]) for name in ("watchdog", "server"))
        return Processes(_process(raw["keeper"]), watchdog, server, origin.decode(raw["origin"]))
    except (ValueError, TypeError, KeyError, OverflowError):  # the integer of an infinite number
        return None


_KINDS: tuple[tuple[str, Any], ...] = (
    *((name, str) for name in ("service", "name", "host", "scope")),
    *((name, (dict, type(None))) for name in ("details", "ping", "failure", "setup")),
    ("data_directory", (str, type(None))),
    ("since", (int, float)),
    ("port", int),
)


def _has_valid_fields(state: State) -> bool:
    """Whether the fields that this library reads have the types that it writes."""
    return all(isinstance(getattr(state, name), kind) for name, kind in _KINDS) and reading.is_bounded(state.since)


def _process(raw: Any) -> Process:
    pid, start = raw
    return Process(int(pid), str(start))
