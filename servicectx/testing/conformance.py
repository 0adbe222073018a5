"""Conformance checks of a service against a real server: `check_service`."""

import contextlib
import os
import pickle
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from servicectx import BinaryNotFound, InvalidOption, Service, isolated, managed
from servicectx.isolation.namespace_methods import isolation_of
from servicectx.request import reachable
from servicectx.services import registry
from servicectx.state import paths
from servicectx.testing import privacy
from servicectx.testing.privacy import demand
from servicectx.testing.surroundings import Surroundings


class Usage(NamedTuple):
    """Functions that use the service's usual client: `put` stores a text under a name, `get` returns it or None.

    Both work inside the namespace of the details that they get. For example, they add its prefix to the name.
    """

    put: Callable[[Any, str, str], object]
    get: Callable[[Any, str], str | None]


def check_service(
    service: str | Service[Any] | type[Service[Any]],
    *,
    usage: Usage | None = None,
    binary: bool = True,
    timeout: float = 60.0,
    **options: Any,
) -> None:
    """Start `service` and check the promises that users of any service rely on.

    The check runs in a home of its own. Meanwhile it changes the environment and the working directory of this process,
    so other threads must not depend on these. The check may be repeated.

    Args:
        service: a registered name, or a `Service` class or instance.
        usage: how its client stores and reads a text. With it, the check covers shared data of two users, and
            isolated data of two namespaces.
        binary: whether its program honours `SERVICECTX_<SERVICE>_BIN`; False for a service without a server program.
        timeout: seconds for each start.
        options: options of the service.

    Raises:
        AssertionError: the service breaks a promise; the message names it.
        Any error of `managed()`, when the service does not start.
    """
    found = registry.find(service)
    with (
        _variable("SERVICECTX_CACHE", str(paths.cache(make=True))),  # the usual cache, although the home is a new one
        tempfile.TemporaryDirectory(prefix="sccheck-") as folder,
        _elsewhere(Path(folder)) as outside,
    ):
        home = Path(folder) / "home"
        for passable in (home.parent, home):
            passable.mkdir(exist_ok=True)
            passable.chmod(0o711)  # the account of a server must be able to pass
        with _variable("SERVICECTX_HOME", str(home)):
            surroundings = Surroundings(home)
            _check_errors(found, binary, options)
            first = managed(found, name="first", scope="check", timeout=timeout, **options)
            second = managed(found, name="second", scope="check", timeout=timeout, **options)
            with first as details:
                _check_details(found, details, Path(folder))
                if usage:
                    usage.put(details, "colour", "green")
                privacy.check(details, home)
                with managed(found, name="first", scope="check", timeout=timeout, **options) as joined:
                    demand(joined == details, f"a joining user gets the same details, not {joined!r} and {details!r}")
                    demand(
                        not usage or usage.get(joined, "colour") == "green",
                        "a joining user finds the data of other users",
                    )
                demand(first.alive, "the server still answers after one of two users has left")
                if usage and isolation_of(found, details) is not None:
                    _check_namespaces(details, usage)
                with second as other:
                    demand(other.port != details.port, "two instances run side by side, on different ports")
                    demand(not usage or usage.get(other, "colour") is None, "two instances share nothing")
                    hidden = set(privacy.secrets(details)) ^ set(
                        privacy.secrets(other)
                    )  # without secrets that all instances have
                    surroundings.check(hidden)
            _check_nothing_left([details, other], home)
            surroundings.check(hidden)
            demand(not os.listdir(outside), f"nothing is written outside its directory, not {os.listdir(outside)}")


def _check_namespaces(details: Any, usage: Usage) -> None:
    with isolated(details) as one, isolated(details) as two:
        demand(one != two, f"each namespace has its own details, not {one!r} twice")
        demand(one.env() != two.env() or not one.env(), f"env() leads to the namespace, not {one.env()} to both")
        usage.put(one, "shape", "round")
        demand(usage.get(two, "shape") is None, "a namespace does not see the data of another one")
        usage.put(two, "shape", "square")
        demand(usage.get(one, "shape") == "round", "a namespace keeps its data")
        demand(usage.get(details, "shape") is None, "data of a namespace are not visible outside")
    with isolated(details) as third:
        demand(usage.get(third, "shape") is None, "a new namespace is empty")


def _check_errors(service: Service[Any], binary: bool, options: dict[str, Any]) -> None:
    try:
        managed(service, **options, no_such_option=1)
    except InvalidOption as error:
        demand(error.option == "no_such_option", f"the error names the unknown option: {error}")
    else:
        demand(False, "an unknown option raises InvalidOption")
    if not binary:
        return
    with tempfile.TemporaryDirectory() as empty, _variable(f"SERVICECTX_{service.name.upper()}_BIN", empty):
        try:
            service.program(service.options(options))
        except BinaryNotFound as error:
            demand(
                any(empty in path for path in error.looked), f"the error lists the paths that were searched: {error}"
            )
            demand(error.install, f"the error names how to install the program: {error}")
        else:
            demand(
                False,
                f"BinaryNotFound is raised when SERVICECTX_{service.name.upper()}_BIN is an empty directory, {empty}",
            )


def _check_details(service: Service[Any], details: Any, folder: Path) -> None:
    model = service.details_model()
    demand(type(details) is model, f"the details are {model.__name__}, not {type(details).__name__}")
    demand((details.service, details.name) == (service.name, "first"), f"{details!r} has its service and name")
    demand(details.external is False, "details of a service that was started are not external")
    demand(pickle.loads(pickle.dumps(details)) == details, "the details survive pickling")
    written = details.write(folder / "details.json")
    demand(stat.S_IMODE(written.stat().st_mode) == 0o600, "the details file is readable by its owner alone")
    demand(model.read(written) == details, "the details survive being written and read")
    written.unlink()
    for name, value in details.env().items():
        demand(isinstance(name, str) and isinstance(value, str), f"env() holds texts: {name} = {value!r}")
    demand(str(details.port) in details.url, "url contains the port")
    if service.probe_request is not None and not details.host.startswith("/"):
        problem = reachable.problem(details.host, details.port, 30.0, probe_request=service.probe_request)
        demand(not problem, f"the server answers `probe_request`, the check of an external server: {problem}")
    for secret in privacy.secrets(details):
        demand(secret not in f"{details!r} {details}", "no secret shows in repr() or str()")


def _check_nothing_left(instances: list[Any], home: Path) -> None:
    left = privacy.processes(home)
    demand(not left, f"no process is left: {[str(process) for process in left]}")
    files = privacy.left(home)
    demand(not files, f"no file is left: {files}")
    for details in instances:
        with socket.socket() as probe:
            demand(probe.connect_ex((details.host, details.port)) != 0, f"port {details.port} is left")


@contextlib.contextmanager
def _elsewhere(folder: Path) -> Iterator[Path]:
    """Use an empty directory as the working directory, the user's home and TMPDIR."""
    outside = folder / "outside"
    outside.mkdir(mode=0o700)
    before = os.getcwd()
    with _variable("HOME", str(outside)), _variable("TMPDIR", str(outside)):
        os.chdir(outside)
        try:
            yield outside
        finally:
            os.chdir(before)


@contextlib.contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before
