"""What people read: which services are in force, what was started, and what a service said while a test failed."""

import os
import re
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

from servicectx_pytest._state import NAMESPACES, RUN, SERVICES

if TYPE_CHECKING:
    from servicectx_pytest._services import Services, Used

LOG_LINES = 50
LOG_BYTES = 16 * 1024
LEGACY = ("TEST_APP_DETAILS", "TEST_CRDB_DETAILS", "TEST_MOTO_DETAILS", "TEST_REDIS_DETAILS", "TEST_VAULT_DETAILS")


def pytest_report_header() -> list[str]:
    """Services from outside: their variables, and the files that those name. JSON and URLs are not shown: passwords."""
    found = []
    for variable, said in sorted(os.environ.items()):
        if variable in LEGACY or re.fullmatch("SERVICECTX_.+_DETAILS", variable):
            found.append(variable + (f"={said}" if os.path.exists(said) else ""))
    return [f"services from outside: {', '.join(found)}"] if found else []


def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter", config: pytest.Config) -> None:
    run = config.stash[RUN]
    if (run.uses or run.notes) and terminalreporter.verbosity >= 0:
        terminalreporter.section("services")
        for line in [*_lines(run.uses), *run.notes]:
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


def pytest_runtest_setup(item: pytest.Item) -> None:
    services = item.config.stash.get(SERVICES, None)
    for used in services.used if services is not None else ():
        used.new_test()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    services = item.config.stash.get(SERVICES, None)
    if report.failed and services is not None:
        report.sections += _sections(services, set(getattr(item, "fixturenames", ())))
        if services.keep_failed:
            report.sections += _kept(item)
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
    log = used.log()
    try:
        if log is None:
            return ""
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(used.log_mark, size - LOG_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    cut = size - used.log_mark > LOG_BYTES or len(lines) > LOG_LINES
    return "\n".join((["..."] if cut else []) + lines[-LOG_LINES:])
