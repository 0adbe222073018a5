"""Reports: services from outside, a summary of starts, and the log of a service during a failed test."""

import os
import re
from collections.abc import Generator, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from servicectx_pytest._harmless import Harmless
from servicectx_pytest._settings import settings
from servicectx_pytest._state import COORDINATOR, NAMESPACES, SERVICES

if TYPE_CHECKING:
    from servicectx_pytest._services import Services, Used

LOG_LINES = 50
LOG_BYTES = 16 * 1024
# Copies, since tests replace functions of os. Not plain names: pyfakefs searches modules for these.
OS = SimpleNamespace(open=os.open, fstat=os.fstat, pread=os.pread, close=os.close)

LEGACY = ("TEST_APP_DETAILS", "TEST_CRDB_DETAILS", "TEST_MOTO_DETAILS", "TEST_REDIS_DETAILS", "TEST_VAULT_DETAILS")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Variables of services from outside, with the paths of details files. JSON and URLs are hidden: passwords."""
    found = []
    with Harmless(config.stash[COORDINATOR].notes.append, "the list of services from outside"):
        for variable, value in sorted(os.environ.items()):
            if variable in LEGACY or re.fullmatch("SERVICECTX_.+_DETAILS", variable):
                found.append(variable + (f"={value}" if os.path.exists(value) else ""))
    lines = [f"services from outside: {', '.join(found)}"] if found else []
    with Harmless(config.stash[COORDINATOR].notes.append, "the list of running services"):
        lines += [f"service that runs: {line}" for line in _running(config)]
    return lines


def _running(config: pytest.Config) -> list[str]:
    """The services of an earlier run that this run may join, each with its set-up."""
    coordinator = config.stash[COORDINATOR]
    if hasattr(config, "workerinput"):  # a worker prints no header
        return []
    scope = settings(config, coordinator.id).scope
    if scope == f"run-{coordinator.id}":  # no other run uses it
        return []
    from servicectx.testing import describe_instances

    return describe_instances(scope)


def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter", config: pytest.Config) -> None:
    coordinator = config.stash[COORDINATOR]
    with Harmless(terminalreporter.line, "the summary of services"):
        if (coordinator.uses or coordinator.notes) and terminalreporter.verbosity >= 0:
            terminalreporter.section("services")
            for line in [*_lines(coordinator.uses), *dict.fromkeys(coordinator.notes)]:
                terminalreporter.line(line)


def _lines(uses: list[dict[str, object]]) -> Iterator[str]:
    """A line for each service."""
    for label in dict.fromkeys(use["label"] for use in uses):
        parts = []
        for outcome in ("started", "joined", "external", "failed"):
            same = [use for use in uses if use["label"] == label and use["how"] == outcome]
            if not same:
                continue
            workers = ", ".join(dict.fromkeys(str(use["by"]) for use in same if use["by"]))
            text = {"external": "from outside", "failed": f"failed with {same[0]['error']}"}.get(outcome, outcome)
            if outcome in ("started", "joined"):
                text += f" in {same[0]['took']:.2f} s"
            parts.append(text + (f" by {workers}" if workers else ""))
        set_ups = dict.fromkeys(str(use["setup"]) for use in uses if use["label"] == label and use["setup"])
        yield f"{label}: {', '.join(parts)}" + "".join(f"; set-up {setup}" for setup in set_ups)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    with Harmless(item.config.stash[COORDINATOR].notes.append, f"the log of services during {item.nodeid}"):
        services = item.config.stash.get(SERVICES, None)
        for used in services.used if services is not None else ():
            used.new_test()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    services = item.config.stash.get(SERVICES, None)
    if report.failed and services is not None:
        sections = report.sections
        with Harmless(lambda line: sections.append(("servicectx", line)), "the log of services"):
            sections.extend(_sections(services, _fixtures_of(item)))
        with Harmless(lambda line: sections.append(("servicectx", line)), "the address of a kept namespace"):
            sections.extend(_kept(item) if services.keep_failed else ())
    return report


def _kept(item: pytest.Item) -> Iterator[tuple[str, str]]:
    """Keep the namespaces of a failed test, and report how to connect and how long the server stays.

    A namespace of its class, module, package or session counts only if the test names the fixture.
    """
    opened = [(node, *entry) for node in item.listchain() for entry in node.stash.get(NAMESPACES, {}).items()]
    for isolating in [found for node, fixture, found in opened if node is item or fixture in _fixtures_of(item)]:
        if isolating.command is not None:
            isolating.keep = True
            yield "kept for you", f"{isolating.command}\n({isolating.stays})"


def _fixtures_of(item: pytest.Item) -> set[str]:
    """The fixtures that a test names, and their fixtures."""
    return set(getattr(item, "fixturenames", ()))


def _sections(services: "Services", fixtures: set[str]) -> Iterator[tuple[str, str]]:
    """Report sections: for each service of the test that wrote to its log meanwhile, or died."""
    for used in services.used:
        is_used = used.requested or used.fixtures & fixtures
        if is_used and used.managed.details is not None and (text := _died(used) + _log(used)):
            yield f"service {used.label}", text


def _died(used: "Used") -> str:
    failure = used.managed.failure
    if failure is None:
        return ""
    data = failure.data
    status = data.get("exit_status")
    return f"it died: {data.get('reason')}" + ("" if status is None else f" (exit status {status})") + "\n"


def _log(used: "Used") -> str:
    """End of the log since the test began."""
    path = used.managed.log_path
    try:
        descriptor = OS.open(path or "", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        size = OS.fstat(descriptor).st_size
        begin = max(used.log_mark, size - LOG_BYTES)
        lines = OS.pread(descriptor, max(0, size - begin), begin).decode(errors="replace").splitlines()
    finally:
        OS.close(descriptor)
    cut = size - used.log_mark > LOG_BYTES or len(lines) > LOG_LINES
    return "\n".join((["..."] if cut else []) + lines[-LOG_LINES:])
