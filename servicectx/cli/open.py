"""`servicectx open`: start a service on data that an earlier run kept."""

import contextlib
import json
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from servicectx import Managed, ServiceCtxError, UnknownService, managed
from servicectx.cli import child_process, console, env_templates
from servicectx.cli.app import Failed, debug_option
from servicectx.cli.command_watchdog import CommandWatchdog
from servicectx.cli.parameters import Seconds
from servicectx.cli.run import ARGV, OWN_FAILURE, WithCommand, _environment, _interruptible
from servicectx.cli.selection import Member
from servicectx.cli.start_display import outcome, started
from servicectx.request import opened_data
from servicectx.services import registry

END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOOK = 2.0  # seconds between looks at the server


@click.command(
    cls=WithCommand,
    epilog="""\b
Examples:
  servicectx open /dev/shm/servicectx-1000/postgres-1f0c2a9b7d3e.8a1e4492
  servicectx open PATH -- pg_dump -Fc -f before.dump
  servicectx open PATH --json | jq -r .url
""",
)
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@click.option("--timeout", type=Seconds(), help="Time for the whole start, such as 90s (default 60s).")
@click.option("--json", "as_json", is_flag=True, help="Print the details as an object.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors and the URL only.")
@debug_option
@click.pass_context
def command(ctx: click.Context, path: Path, timeout: float | None, as_json: bool, quiet: bool) -> None:
    """Start the service that wrote the data in PATH, on these data, until Ctrl-C.

    PATH is the directory that a run with keep_data printed at its end. The service runs as the owner of the data, with
    its former options and password, on a free port. The data stay.

    A command may follow after --, as for `servicectx run`. It gets the variables of the service, and the service ends
    with it. The exit status is then that of the command.
    """
    arguments = ctx.meta.get(ARGV)
    if ARGV in ctx.meta and not arguments:
        raise click.UsageError("Give a command after --: servicectx open PATH -- psql")
    if arguments:
        raise SystemExit(_run(arguments, path, timeout, quiet))
    member = _member(path, timeout)
    with contextlib.ExitStack() as stack:
        with _interruptible():
            stack.enter_context(started([member], quiet=True))
        with _signals_blocked():
            _show(member, path, as_json, quiet)
            _wait_for_signal(member.managed)
            if not quiet:
                console.note("stopping; the data stay")
            stack.close()


def _run(arguments: list[str], path: Path, timeout: float | None, quiet: bool) -> int:
    watchdog = CommandWatchdog()
    try:
        member = _member(path, timeout)
        own, remarks = env_templates.of_project([member.role])
        with contextlib.ExitStack() as stack:
            with _interruptible():
                stack.enter_context(started([member], quiet))
            return child_process.run(arguments, _environment([member], quiet, own, remarks), watchdog)
    except ServiceCtxError as error:
        error.exit_status = OWN_FAILURE  # type: ignore[attr-defined]
        raise
    finally:
        watchdog.dismiss()


def _member(path: Path, timeout: float | None) -> Member:
    """The service that the record names. Raises KeptDataError, InvalidOption."""
    opened = opened_data.open_record(path)
    record = opened.record
    try:
        service = registry.find(record.service)
    except UnknownService:
        cure = f"open them from Python, with the class of the service: managed(ITS_CLASS, data={str(opened.path)!r})"
        raise opened.refuse(f"service {record.service!r} wrote the data, and is not registered here", cure) from None
    return Member(record.name, managed(service, name=record.name, data=opened.path, timeout=timeout))


def _show(member: Member, path: Path, as_json: bool, quiet: bool) -> None:
    details: Any = member.managed.details
    if as_json:
        console.say_json({**json.loads(details.model_dump_json()), "url": details.url})
    else:
        console.say(details.url)
    if quiet:
        return
    console.note(f"{member.role}: {outcome(member)}, on the data in {shlex.quote(str(path))}")
    service = registry.find(details.service)
    console.note(f"connect with: {service.shell_command(details)}")
    for name, value in details.env().items():
        console.note(f"  {name}={shlex.quote(value)}")
    console.note("Ctrl-C stops it, and the data stay")


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block the signals that end this process, so that a second one cannot interrupt the clean stop."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, END_SIGNALS)
    try:
        yield
    finally:
        while signal.sigpending() & set(END_SIGNALS):
            signal.sigwait(END_SIGNALS)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait_for_signal(running: Managed[Any]) -> None:
    """Wait for one of these signals. Raises Failed when the server ends by itself."""
    while True:
        if hasattr(signal, "sigtimedwait"):
            if signal.sigtimedwait(END_SIGNALS, LOOK) is not None:
                return
        else:
            signal.sigwait(END_SIGNALS)
            return
        if (failure := running.failure) is not None:
            raise Failed(str(failure))
