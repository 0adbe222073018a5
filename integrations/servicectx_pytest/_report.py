"""What people read: which services are in force, what was started, and what a service said while a test failed."""

import os
import re
from collections.abc import Generator, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from servicectx_pytest._harmless import Harmless
from servicectx_pytest._state import NAMESPACES, RUN, SERVICES

if TYPE_CHECKING:
    from servicectx_pytest._services import Services, Used

LOG_LINES = 50
LOG_BYTES = 16 * 1024
# As they are now: a test may replace them. Not by names of their own, because pyfakefs searches modules for these.
OS = SimpleNamespace(open=os.open, fstat=os.fstat, pread=os.pread, close=os.close)

LEGACY = ("TEST_APP_DETAILS", "TEST_CRDB_DETAILS", "TEST_MOTO_DETAILS", "TEST_REDIS_DETAILS", "TEST_VAULT_DETAILS")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Services from outside: their variables, and the files that those name. JSON and URLs are not shown: passwords."""
    found = []
    with Harmless(config.stash[RUN].notes.append, "the list of services from outside"):
        for variable, said in sorted(os.environ.items()):
            if variable in LEGACY or re.fullmatch("SERVICECTX_.+_DETAILS", variable):
                found.append(variable + (f"={said}" if os.path.exists(said) else ""))
    return [f"services from outside: {', '.join(found)}"] if found else []


def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter", config: pytest.Config) -> None:
    run = config.stash[RUN]
    with Harmless(terminalreporter.line, "the summary of services"):
        if (run.uses or run.notes) and terminalreporter.verbosity >= 0:
            terminalreporter.section("services")
            for line in [*_lines(run.uses), *dict.fromkeys(run.notes)]:
                terminalreporter.line(line)


def _lines(uses: list[dict[str, object]]) -> Iterator[str]:
    """One for each service."""
    for label in dict.fromkeys(use["label"] for use in uses):
        said = []
        for how in ("started", "joined", "external", "failed"):
            those = [use for use in uses if use["label"] == label and use["how"] == how]
            if not those:
                continue
            who = ", ".join(dict.fromkeys(str(use["by"]) for use in those if use["by"]))
            words = {"external": "from outside", "failed": f"failed with {those[0]['error']}"}.get(how, how)
            if how in ("started", "joined"):
                words += " in " + " and ".join(f"{use['took']:.2f} s" for use in those[:1])
            said.append(words + (f" by {who}" if who else ""))
        yield f"{label}: {', '.join(said)}"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    with Harmless(item.config.stash[RUN].notes.append, f"what services write during {item.nodeid}"):
        services = item.config.stash.get(SERVICES, None)
        for used in services.used if services is not None else ():
            used.new_test()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    services = item.config.stash.get(SERVICES, None)
    if report.failed and services is not None:
        sections = report.sections
        with Harmless(lambda line: sections.append(("servicectx", line)), "what services wrote"):
            sections.extend(_sections(services, set(getattr(item, "fixturenames", ()))))
        with Harmless(lambda line: sections.append(("servicectx", line)), "how to connect to what is kept"):
            sections.extend(_kept(item) if services.keep_failed else ())
    return report


def _kept(item: pytest.Item) -> Iterator[tuple[str, str]]:
    """Namespaces of the test that failed: they are left, and so is the server, for as long as the library says."""
    for isolating in item.stash.get(NAMESPACES, []):
        if isolating.command is not None:
            isolating.keep = True
            yield "kept for you", f"{isolating.command}\n({isolating.stays})"


def _sections(services: "Services", fixtures: set[str]) -> Iterator[tuple[str, str]]:
    """For each service that the test can use and that wrote something meanwhile, or died."""
    for used in services.used:
        concerned = used.asked or used.fixtures & fixtures
        if concerned and used.managed.details is not None and (text := _died(used) + _log(used)):
            yield f"service {used.label}", text


def _died(used: "Used") -> str:
    failure = used.managed.failure
    if failure is None:
        return ""
    data = failure.data
    status = data.get("exit_status")
    return f"it died: {data.get('reason')}" + ("" if status is None else f" (exit status {status})") + "\n"


def _log(used: "Used") -> str:
    """The end of what it wrote since the test began."""
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
