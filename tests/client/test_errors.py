"""Every error has its data as attributes, survives pickling and a state file, and names a cure."""

import json
import pickle
from typing import Any

import pytest

import servicectx
from servicectx import errors

EXAMPLES: dict[type[errors.ServiceCtxError], dict[str, Any]] = {
    errors.ServiceCtxError: {},
    errors.UnknownService: {"service": "postgers", "known": ["postgres", "redis"], "instead": None},
    errors.InvalidOption: {"service": "redis", "option": "settngs", "problem": "unknown", "known": ["settings"]},
    errors.BinaryNotFound: {
        "service": "redis",
        "binary": "redis-server",
        "looked": ["PATH (/bin)", "/usr/sbin"],
        "install": {"pip": "pip install x", "apt": "apt-get install y", "brew": "brew install z"},
        "problem": None,
    },
    errors.KeptDataError: {"path": "/data/postgres", "problem": "in use", "cure": "leave the other instance first"},
    errors.StartFailed: {
        "service": "postgres",
        "name": "orders",
        "reason": "the server ended",
        "command": "postgres -D data",
        "exit_status": 1,
        "log_tail": "one\ntwo",
    },
    errors.StartTimeout: {
        "service": "redis",
        "name": "redis",
        "timeout": 2.5,
        "waited": 2.75,
        "waiting_for": "nobody answered",
        "command": "redis-server",
        "log_tail": "",
    },
    errors.ServiceDied: {
        "service": "redis",
        "name": "redis",
        "reason": "SIGKILL",
        "exit_status": -9,
        "log_tail": "the end",
    },
    errors.SetupFailed: {
        "service": "redis",
        "name": "redis",
        "setup": "app:migrate",
        "problem": "KeyError: 'x'",
        "traceback": "line 1",
    },
    errors.DetailsError: {
        "source": "SERVICECTX_X_DETAILS",
        "path": "/x.json",
        "field": "port",
        "problem": "no number",
        "problems": [["port", "no number"], ["host", "it is empty"]],
    },
    errors.ConfigError: {"path": "/app/pyproject.toml", "key": "tool.servicectx.redis", "problem": "no table"},
    errors.NotIsolable: {"service": "command", "reason": "it has no namespaces"},
    errors.NotSupported: {
        "service": "smtp",
        "name": "mail",
        "operation": "restart()",
        "reason": "it has no data on disk",
    },
    errors.PortInUse: {
        "service": "redis",
        "name": "second",
        "reason": "the chosen port 6379 is in use by process 4711 (redis-server)",
        "command": None,
        "exit_status": None,
        "log_tail": "",
        "port": 6379,
        "pid": 4711,
        "owner": "redis-server",
        "instance": None,
    },
    errors.ConfigError: {
        "path": "setup.cfg",
        "key": "servicectx.orders.linger",
        "problem": "'x' is not a number of seconds",
    },
    errors.HomeError: {"path": "/home", "problem": "others can write to it", "cure": "chmod go-w /home"},
}


def all_errors() -> list[type[errors.ServiceCtxError]]:
    found = [errors.ServiceCtxError]
    for kind in found:
        found += kind.__subclasses__()
    return found


def test_every_error_has_an_example_here() -> None:
    assert set(all_errors()) == set(EXAMPLES)


def test_every_error_is_public() -> None:
    assert {kind.__name__ for kind in all_errors()} <= set(servicectx.__all__)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_its_data_are_attributes(kind: type[errors.ServiceCtxError]) -> None:
    error = kind(**EXAMPLES[kind])
    assert error.data == EXAMPLES[kind]
    assert {field: getattr(error, field) for field in kind.fields} == EXAMPLES[kind]


@pytest.mark.parametrize("kind", EXAMPLES)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_survives_pickling(kind: type[errors.ServiceCtxError], protocol: int) -> None:
    error = kind(**EXAMPLES[kind])
    again = pickle.loads(pickle.dumps(error, protocol))
    assert (type(again), again.data, str(again)) == (kind, error.data, str(error))


@pytest.mark.parametrize("kind", EXAMPLES)
def test_it_survives_a_state_file(kind: type[errors.ServiceCtxError]) -> None:
    error = kind(**EXAMPLES[kind])
    again = errors.from_record(json.loads(json.dumps(error.record())))
    assert (type(again), again.data, str(again)) == (kind, error.data, str(error))


@pytest.mark.parametrize("kind", EXAMPLES)
def test_it_can_be_made_with_nothing_known(kind: type[errors.ServiceCtxError]) -> None:
    required = {"service": "redis", "known": [], "timeout": 1.0}
    error = kind(**{field: required[field] for field in kind.fields if field in required})
    assert str(error)


def test_its_message_says_all_it_knows() -> None:
    for kind, data in EXAMPLES.items():
        message = str(kind(**data))
        for value in data.values():
            for text in value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]:
                if isinstance(text, list):
                    assert all(part in message for part in text), (kind, text)
                elif isinstance(text, str | float) and text:
                    shown = [str(text), f"{text:g}" if isinstance(text, float) else str(text)]
                    assert any(line in message for one in shown for line in one.splitlines()), (kind, text)


def test_unknown_data_are_refused() -> None:
    with pytest.raises(TypeError, match="NotIsolable does not take colour"):
        errors.NotIsolable(service="redis", colour="red")


def test_a_typing_error_gets_a_guess() -> None:
    assert "Did you mean 'postgres'?" in str(errors.UnknownService(service="postgers", known=["postgres", "redis"]))
    assert "Did you mean" not in str(errors.UnknownService(service="zzz", known=["postgres", "redis"]))


def test_a_missing_program_comes_with_places_and_cures() -> None:
    message = str(errors.BinaryNotFound(**EXAMPLES[errors.BinaryNotFound]))
    assert message.splitlines() == [
        "redis: no program 'redis-server' was found",
        "looked at:",
        "  PATH (/bin)",
        "  /usr/sbin",
        "install it with one of:",
        "  pip:  pip install x",
        "  apt:  apt-get install y",
        "  brew: brew install z",
        "or set SERVICECTX_REDIS_BIN to the program or to the directory that holds it",
    ]


def test_a_failed_start_shows_command_status_and_log() -> None:
    assert str(errors.StartFailed(**EXAMPLES[errors.StartFailed])).splitlines() == [
        "postgres 'orders' did not start: the server ended",
        "command: postgres -D data",
        "exit status: 1",
        "the last lines of its log:",
        "  one",
        "  two",
    ]
